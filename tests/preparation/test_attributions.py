"""Names that stand for no artist, in six languages, and names that may be one artist's."""

import pytest

from morelli.preparation.attributions import perhaps_one, unattributed

UNKNOWN = (
    "Unknown Artist, unknown, Anonymous, Anon., N/A, nan, ?, [unknown], unknown_artist, Unidentified artist, "
    "Unknown 12, Artiste inconnu, Anonyme, Auteur inconnu, Unbekannt, Unbekannter Künstler, Anonym, Ignoto, "
    "Autore ignoto, Anonimo veneziano, Desconocido, Autor desconocido, Anónimo, Onbekend, Onbekende kunstenaar, "
    "Anoniem, 佚名, Неизвестный художник"
)
SEVERAL = (
    "Various, various artists, Divers, Artistes divers, Verschiedene Künstler, Autori vari, AA.VV., Varios "
    "autores, Diverse kunstenaars, Misc."
)
ANOTHER = (
    "after Claude Monet, after-claude-monet, Workshop of Titian, Workshop_of_Titian, Circle of Rubens, Studio "
    "of Titian, Follower of Rembrandt, British School 18th century, School of Fontainebleau, In the manner of "
    "Rubens, Titian and workshop, Rubens & studio, Rembrandt (workshop of), French Painter, d'après Rubens, "
    "D’après Monet, Rubens (atelier), atelier de Rubens, École française, entourage de Rubens, à la manière de "
    "Rubens, élève de Rubens, Peintre français, nach Rembrandt, Rubens-Werkstatt, Werkstatt des Lucas Cranach, "
    "Umkreis Rembrandts, Nachfolger von Rembrandt, Schüler von Rembrandt, Niederländische Schule, Deutscher "
    "Meister, bottega di Tiziano, Tiziano e bottega, cerchia di Tiziano, seguace di Tiziano, scuola veneziana, "
    "copia da Raffaello, Maestro veneziano, taller de Goya, Goya y taller, círculo de Goya, seguidor de Goya, "
    "escuela española, según Goya, werkplaats van Rembrandt, kring van Rembrandt, navolger van Rembrandt, naar "
    "Rembrandt, Hollandse School, leerling van Rembrandt, Italian 16th Century"
)
UNCERTAIN = (
    "Attributed to Rembrandt, Rembrandt (attributed to), attr. Rembrandt, Possibly Rembrandt, Rembrandt (?), "
    "Rembrandt?, attribué à Rembrandt, Rembrandt (zugeschrieben), attribuito a Tiziano, atribuido a Goya, "
    "toegeschreven aan Rembrandt"
)
ARTISTS = (
    "Claude Monet, Master of Flémalle, Meister der heiligen Sippe, Maître de Moulins, Maestro de Pedret, "
    "Monogrammist HB, Master Bertram, Maler Müller, Wilhelm Kreis, Georg Schuler, Studio Drift, Divers Smith, "
    "Anon Pairot, Art Spiegelman, John Singleton Copley, Leonardo da Vinci, Robert Indiana, English Harper, "
    "Giulio Romano, Giovanni di Paolo, Artist 1, Painter 12, artist_003, Painter A. Invented, M1, 23, x, "
    "=SUM(A1), Ann | Lee, A_B % C & D"
)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (UNKNOWN, "artist unknown"),
        (SEVERAL, "several artists"),
        (ANOTHER, "a workshop, school, follower or copyist"),
        (UNCERTAIN, "attribution uncertain"),
        (ARTISTS, ""),
    ],
)
def test_why_a_name_is_no_artists(names: str, reason: str) -> None:
    assert {name: unattributed(name) for name in names.split(", ")} == dict.fromkeys(names.split(", "), reason)


def test_what_stands_behind_a_comma_is_understood() -> None:
    behind = ["Rembrandt, follower of", "Rembrandt, workshop of", "Rembrandt, Umkreis", "French painter, 18th century"]

    assert {unattributed(name) for name in behind} == {"a workshop, school, follower or copyist"}


@pytest.mark.parametrize(
    ("names", "pairs"),
    [
        ("J. Smith, John Smith, Jane Smith", {"J. Smith/John Smith", "J. Smith/Jane Smith"}),
        ("J.M.W. Turner, Joseph Mallord William Turner", {"J.M.W. Turner/Joseph Mallord William Turner"}),
        ("John S. Sargent, John Singer Sargent, James Smith Sargent", {"John S. Sargent/John Singer Sargent"}),
        ("Utagawa Hiroshige, Hiroshige Utagawa", {"Hiroshige Utagawa/Utagawa Hiroshige"}),
        ("Jan Steen, Jansteen", {"Jan Steen/Jansteen"}),
        ("Bertha Morisot, Berthe Morisot", {"Bertha Morisot/Berthe Morisot"}),
        ("Albrecht Dürer, Albrecht Duerer", {"Albrecht Duerer/Albrecht Dürer"}),
        ("Claude Monet, Claude Monet (1840-1926)", {"Claude Monet/Claude Monet (1840-1926)"}),
        ("Monet, Claude Monet, Edouard Manet", {"Claude Monet/Monet"}),
        ("artist 1, artist 2, artist 11, M1, M2, 1, 2", set()),
        ("Ada Berg, Bela Lund, Cora Stein", set()),
    ],
)
def test_names_that_may_be_one_artists_are_paired(names: str, pairs: set[str]) -> None:
    assert {f"{one}/{other}" for one, other, _ in perhaps_one(names.split(", "))} == pairs
