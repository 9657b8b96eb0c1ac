"""Atomic writing of files, errors of files that cannot be read or written, and the cache folder."""

import errno
import hashlib
import os
import platform
import shutil
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from morelli._text import one_line
from morelli.errors import MorelliError, first_line

LFS_HEAD: Final = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that stands in place of one in Git LFS."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LITTLE_SPACE = 1 << 16
_MOST_TEXT = 256 << 20
"""Bytes of the largest JSON, YAML or CSV file of ours that is read; a run of a million paintings stays below."""
_HOST = hashlib.sha256(platform.node().encode()).hexdigest()[:6]
_A_DAY = 86_400.0
_swept: set[Path] = set()


class UnwritableError(MorelliError):
    """A place cannot be written or its disk is full, which ends whatever else would be written there too."""


def cache_folder() -> Path:
    """Where features and the demo's paintings are kept: ``MORELLI_CACHE``, else ``~/.cache/morelli``."""
    base = os.environ.get("MORELLI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "morelli"
    return Path(base).expanduser()


class UnreadableError(MorelliError):
    """A file is damaged, of another format, or cannot be read."""


@contextmanager
def reading(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn whatever a parser raises in the block into one sentence that names the file.

    Use it around reading and checking one file, and nothing else.

    Raises:
        UnreadableError: with the reason, and ``remedy`` as the next sentence.
    """
    try:
        yield
    except MorelliError:
        raise
    except Exception as error:  # parsers raise nearly anything on damaged files
        raise UnreadableError(one_line(f"{path} cannot be read ({_reason(error)}). {remedy}")) from error


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeError):
        return "it holds text that is no UTF-8"
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return first_line(error, 160)


def read_text(path: Path) -> str:
    """The text of a file of ours; use it within :func:`reading`. What is no plain file or far too large is refused."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no plain file")
    if status.st_size > _MOST_TEXT:
        raise ValueError(f"it has {status.st_size:,} bytes; the limit is {_MOST_TEXT:,}")
    return path.read_text(encoding="utf-8")


@contextmanager
def written_whole(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place only if the block ends without an error.

    The temporary name keeps the suffix, because several writers choose the format by it. What earlier processes left
    behind when they were killed goes.

    Args:
        path: of the file; its mode follows the umask, whatever the writer does.
        durable: wait until it is on the disk. Leave it out for what is made again in less than a second.

    Raises:
        UnwritableError: ``path`` cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{os.getpid()}-{_HOST}-{uuid.uuid4().hex[:12]}.partial{''.join(path.suffixes)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep_once(path.parent)
        temporary.touch()  # before any work is spent on what can be written nowhere
        mode = temporary.stat().st_mode
        yield temporary
        if (status := temporary.stat()).st_nlink == 1:  # a hard link has the mode of the file that it links
            if status.st_mode != mode:
                temporary.chmod(stat.S_IMODE(mode))
            if durable:
                _flush(temporary)
        temporary.replace(path)
        if durable and os.name == "posix":
            _flush(path.parent)
    except OSError as error:
        if error.filename is not None and Path(error.filename) not in (temporary, path, *path.parents):
            raise  # of something that is read
        raise _unwritable(path, error, is_full=error.errno in _FULL) from error
    except Exception as error:
        if isinstance(error, MorelliError) or not _means_full(error, path.parent):
            raise
        raise _unwritable(path, error, is_full=True) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _sweep_once(folder: Path) -> None:
    if folder not in _swept:
        _swept.add(folder)
        remove_leftovers(folder)


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files in a folder whose processes are dead, or that nobody has written to for a day."""
    for leftover in folder.glob(".*.partial*"):
        pid, _, rest = leftover.name[1:].partition("-")
        with suppress(OSError):
            is_old = time.time() - leftover.stat().st_mtime > _A_DAY
            if is_old or (pid.isdigit() and rest.startswith(f"{_HOST}-") and _is_dead(int(pid))):
                leftover.unlink()


def _is_dead(pid: int) -> bool:
    if os.name != "nt":  # where this would end the process
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):  # another user's
            pass
    return False


def is_free(folder: Path) -> bool:
    """Whether nothing is there, or nothing but what a process that was killed left of a first file."""
    return not folder.exists() or (folder.is_dir() and all(".partial" in inner.name for inner in folder.iterdir()))


def write_text_whole(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all.

    Raises:
        UnwritableError: as :func:`written_whole`.
    """
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_output(path: Path, *suffixes: str, read: Iterable[Path] = ()) -> None:
    """Refuse to write a file that has none of these suffixes, or that is one of those read.

    Raises:
        MorelliError: it has, or it is.
    """
    if path.suffix.lower() not in suffixes:
        raise MorelliError(f"This command writes a {' or '.join(suffixes)} file; it was given {path}.")
    if path.exists() and any(one.exists() and path.samefile(one) for one in read):
        raise MorelliError(f"{path} is what is read here, and would be overwritten. Choose another file to write.")


def check_writable(path: Path) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        UnwritableError: as :func:`written_whole`, as far as permissions tell.
    """
    folder = next(parent for parent in path.absolute().parents if parent.exists())
    if not folder.is_dir():
        raise _unwritable(path, NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder)))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(path, PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder)))


def sentence_of(error: OSError) -> str:
    """What an error of the system means, for one who did not write this program."""
    if error.errno in _FULL:
        where = f" while writing {error.filename}" if error.filename else ""
        return f"The disk is full{where}. Free some space and run the same command again; what was finished is kept."
    if error.filename is None:
        return f"{error.strerror or error} ({type(error).__name__})."
    return f"{error.filename} cannot be read or written ({error.strerror}). Mend that, or choose another place."


def _unwritable(path: Path, error: Exception, *, is_full: bool = False) -> UnwritableError:
    if is_full:
        return UnwritableError(
            f"The disk is full: {path} could not be written. Free some space and run the same command again; what was "
            "finished is kept."
        )
    reason = getattr(error, "strerror", None) or str(error)
    folder = getattr(error, "filename", None)
    where = f": {folder}" if folder is not None and Path(folder) in path.parents else ""
    remedy = "Choose another place, or make this one writable."
    if path.is_relative_to(cache_folder()):
        remedy = "That is morelli's cache: set MORELLI_CACHE to a folder that can be written."
    return UnwritableError(f"{path} cannot be written ({reason}{where}). {remedy}")


def _means_full(error: Exception, folder: Path) -> bool:
    """Tell it of the errors of safetensors, which names the reason, and torch, which only says that writing failed."""
    with suppress(OSError):
        return os.strerror(errno.ENOSPC) in str(error) or shutil.disk_usage(folder).free < _LITTLE_SPACE
    return False


def is_lfs_pointer(path: Path) -> bool:
    """Whether a file is Git LFS's stand-in for another that was not fetched."""
    with path.open("rb") as file:
        return file.read(len(LFS_HEAD)) == LFS_HEAD
