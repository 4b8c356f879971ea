"""Which torch is installed, with which CUDA and which BLAS, without importing it.

Importing torch costs a second and some 200 MB, which a report on a laptop should not pay. The build
is read from torch/version.py and the BLAS from the libraries that lie beside torch, so the answer
is the same before and after an import.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path


def torch_build() -> dict[str, str | None]:
    """torch ("2.13.0+cpu"), torch_build ("cpu", "cu128", "rocm6.2") and cuda ("12.8"), or None."""
    folder = _torch_folder()
    if folder is None:
        return {"torch": None, "torch_build": None, "cuda": None}
    text = _read(folder / "version.py")
    version = _assigned(text, "__version__")
    cuda, hip = _assigned(text, "cuda"), _assigned(text, "hip")
    build = "cpu"
    if cuda is not None:
        build = "cu" + cuda.replace(".", "")
    elif hip is not None:
        build = "rocm" + ".".join(hip.split(".")[:2])
    return {"torch": version, "torch_build": build, "cuda": cuda}


def torch_blas() -> str | None:
    """The BLAS that torch is linked with, as far as files tell: "mkl", "openblas", "static", ...

    "static" means that no BLAS library lies beside torch; the wheels for x86-64 carry MKL that way.
    """
    folder = _torch_folder()
    if folder is None:
        return None
    if sys.platform == "darwin":
        return "accelerate"
    places = (folder / "lib", folder.parent / "torch.libs")
    names = [file.name for place in places if place.is_dir() for file in place.iterdir()]
    conda = [file.stem for file in Path(sys.prefix, "conda-meta").glob("libblas-*.json")]
    known = ("mkl", "openblas", "nvpl_blas", "armpl", "blis", "arm_compute")
    found = [blas for blas in known if any(blas in name for name in names + conda)]
    return "+".join(found) or "static"


def _torch_folder() -> Path | None:
    try:
        found = importlib.util.find_spec("torch")
    except ValueError:  # a stand-in module without a spec
        return None
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent


def _assigned(text: str, name: str) -> str | None:
    found = re.search(rf"^{name}\b[^=\n]*=\s*['\"]([^'\"]+)['\"]", text, re.MULTILINE)
    return found.group(1) if found else None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
