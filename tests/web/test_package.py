"""The script as a package: its types, its files, and how it is sent."""

import gzip
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

import plait
from plait.web import RUNTIME, compact, scripts

NPM = shutil.which("npm")
TYPESCRIPT = "typescript@5.9.3"
needs_npm = pytest.mark.skipif(NPM is None, reason="there is no npm: apt install npm")
# Bytes of gzip. A page that trains loads this, a program and a manifest: 8 kB in all.
BUDGET = 3200


def npm(*arguments, cwd, offline_too=False):
    """Run npm; skip the test if it needs the network, and there is none."""
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    done = subprocess.run(
        [NPM, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=100,
        env=environment,
    )
    lost = ("ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ETIMEDOUT", "ENOTCACHED", "E404")
    if done.returncode and any(code in done.stderr for code in lost):
        pytest.skip("npm cannot reach its registry")
    return done


@needs_npm
def test_types(tmp_path):
    for path in RUNTIME.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(Path(__file__).parent / "types.ts", tmp_path / "use.ts")
    flags = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext"]
    found = npm(
        *("exec", "--yes", "--package", TYPESCRIPT, "--", "tsc"),
        *(*flags, "--lib", "es2023,dom", "use.ts"),
        cwd=tmp_path,
    )
    assert found.returncode == 0, found.stdout + found.stderr


@needs_npm
def test_the_package_holds_all_scripts(tmp_path):
    for path in RUNTIME.iterdir():
        shutil.copy(path, tmp_path)
    found = npm("pack", "--dry-run", "--json", "--ignore-scripts", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    (package,) = json.loads(found.stdout)
    assert package["name"] == "plait-runtime"
    files = {one["path"] for one in package["files"]}
    assert files == {path.name for path in RUNTIME.iterdir()}


def test_what_the_package_names_is_there():
    package = json.loads((RUNTIME / "package.json").read_text())
    assert package["type"] == "module"
    assert plait.__version__.startswith(package["version"])
    assert "dependencies" not in package
    for one in package["exports"].values():
        for path in one.values() if isinstance(one, dict) else [one]:
            assert (RUNTIME / path).is_file()


def test_every_public_script_has_types():
    package = json.loads((RUNTIME / "package.json").read_text())
    public = {path.removeprefix("./") for path in package["exports"]} - {"."}
    assert {name for name in public if name.endswith(".js")} <= {
        path.name.removesuffix(".d.ts") + ".js" for path in RUNTIME.glob("*.d.ts")
    }


def test_lines_are_short():
    for path in [*RUNTIME.glob("*.js"), *RUNTIME.glob("*.ts")]:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert len(line) <= 88, f"{path.name}:{number}"


def test_the_script_is_small():
    assert len(gzip.compress(scripts()["plait.js"], 9)) <= BUDGET


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("// why\nconst x = 1; // one\n", "const x=1;"),
        ("/** What. */\nexport const f = (x) => {\n  return x;\n};\n",
         "export const f=(x)=>{return x;};"),
        ('const s = "a  // b";\n\nconst t = `c /* ${ s }  d`;\n',
         'const s="a  // b";const t=`c /* ${ s }  d`;'),
        ("if (/^a  b/.test(x)) y = x / 2 / z;\n", "if(/^a  b/.test(x))y=x/2/z;"),
        ("const { a, ...b } = c ?? d;\nelse x;", "const{a,...b}=c??d;else x;"),
        ("class A {\n  #b;\n  static c() {}\n}\n", "class A{#b;static c(){}}"),
    ],
)  # fmt: skip
def test_comments_and_spaces_are_not_sent(script, expected):
    assert compact(script) == expected + "\n"


def test_what_is_sent_is_javascript(node, tmp_path):
    (tmp_path / "package.json").write_text('{"type": "module"}')
    for name, content in scripts().items():
        if name.endswith(".js"):
            (tmp_path / name).write_bytes(content)
            done = subprocess.run(
                [shutil.which("node"), "--check", name], cwd=tmp_path, timeout=60
            )
            assert done.returncode == 0, name
