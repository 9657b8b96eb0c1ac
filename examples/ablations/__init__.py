"""Ablations: what was tried and did not help, outside the package and named by ``configs/ablation/*.yaml``."""
