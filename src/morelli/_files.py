"""Atomic writing of files, errors of places that cannot be written, and the cache folder."""

import errno
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from morelli.errors import MorelliError

LFS_HEAD: Final = b"version https://git-lfs.github.com/spec/"
"""What a file begins with that stands in place of one in Git LFS."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_LITTLE_SPACE = 1 << 16


class UnwritableError(MorelliError):
    """A place cannot be written or its disk is full, which ends whatever else would be written there too."""


def cache_folder() -> Path:
    """Where features and the demo's paintings are kept: ``MORELLI_CACHE``, else ``~/.cache/morelli``."""
    base = os.environ.get("MORELLI_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "morelli"
    return Path(base).expanduser()


@contextmanager
def written_whole(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move it into place only if the block ends without an error.

    The temporary name keeps the suffix, because several writers choose the format by it; the mode follows the umask,
    whatever the writer does. ``durable`` waits until the disk has it: for what cannot be computed again in a second.

    Raises:
        UnwritableError: ``path`` cannot be written, or the disk is full.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:12]}.partial{''.join(path.suffixes)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()  # before any work is spent on what can be written nowhere
        mode = temporary.stat().st_mode
        yield temporary
        if temporary.stat().st_mode != mode:  # safetensors writes for the owner alone
            temporary.chmod(mode)
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


def write_text_whole(path: Path, text: str) -> None:
    """Write ``text`` as UTF-8 to ``path``, whole or not at all.

    Raises:
        UnwritableError: as :func:`written_whole`.
    """
    with written_whole(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def locked(path: Path, refusal: str) -> Iterator[None]:
    """Hold a file or folder against other processes, as long as they ask for it too; on Windows this does nothing.

    filelock would truncate the file that it locks, cannot lock a folder, and leaves its own file behind.

    Raises:
        MorelliError: another process holds it; the message is ``refusal``.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    held = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise MorelliError(refusal) from error
        yield
    finally:
        os.close(held)


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
