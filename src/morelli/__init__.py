"""Tell painters apart: are two paintings by the same hand, also when that hand was never seen in training?"""
