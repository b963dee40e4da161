"""Atomic writing of report files."""

import os
from pathlib import Path


def put(path: Path, content: str | bytes) -> Path:
    """Write a file atomically and return its path: a reader sees the old file or all of the new one."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content.encode("utf-8", "replace") if isinstance(content, str) else content)
    os.replace(part, path)
    return path
