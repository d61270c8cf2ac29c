"""The programs that are measured, each as the shell commands a user would type.

Commands run in a workspace whose `data` folder holds the current state. `$STATE` names the state, `$TIME` counts the
calls of `ingest`. After `restore` the state lies in the folder `restored_to`. A tool that is not installed is left out.
"""

import os
import shlex
import shutil
import subprocess

GIT = (
    "git init -q . && git config user.name bench && git config user.email bench@example.org "
    "&& git config gc.auto 0 && git config maintenance.auto false"
)


class Tool:
    """One program. `tidy` is its own pass that makes the store smaller, where it has one that users are told to run."""

    name = program = version = setup = ingest = restore = None
    tidy = None
    before_restore = "true"
    restored_to = "out"
    stores = ("store",)
    environment = {}

    def is_here(self):
        return shutil.which(self.program) is not None

    def version_text(self):
        done = subprocess.run(shlex.split(self.version), capture_output=True, text=True)
        return (done.stdout or done.stderr).strip(" *\n").splitlines()[0]


class Onenb(Tool):
    """One export per file under the file's name, then a commit with the records and a tag."""

    name = "onenb"
    # The catalog beside them is a cache, as those that restic and borg keep in the home directory.
    stores = (".git/onenb/packs", ".git/onenb/index")

    def __init__(self, program):
        self.program = os.path.abspath(shutil.which(program) or program)
        self.version = f"{self.program} --version"
        onenb = shlex.quote(self.program)
        self.setup = f"{GIT} && {onenb} init --name bench local && git commit -qm start"
        commit = "git add -A .1nb && git commit -qm $STATE --allow-empty && git tag -f $STATE"
        one_by_one = f'for file in *; do {onenb} export -q "${{file%.*}}" "$file"; done'
        batch = f"""printf '%s\\n' * | sed 's/\\(.*\\)\\.[^.]*/\\1\\t&/' > ../list; {onenb} export -q --batch ../list"""
        several = batch if self.has("export", "--batch") else one_by_one
        self.ingest = (
            f"(cd data && if [ $(ls | wc -l) -gt 20 ]; then {several}; else {one_by_one}; fi) && {commit}"
        )
        names = "git ls-tree --full-tree --name-only $STATE:.1nb/exports"
        self.restore = f'mkdir out && cd out && {names} | sed "s/^/$STATE:/" | {onenb} get -q --batch -'
        if self.has("repack", "Usage"):
            self.tidy = f"{onenb} repack -q"

    def has(self, command, word):
        done = subprocess.run([self.program, command, "--help"], capture_output=True, text=True)
        return done.returncode == 0 and word in done.stdout


class Git(Tool):
    name, program, version, setup = "git", "git", "git --version", GIT
    stores = (".git",)
    ingest = "git add -A data && git commit -qm $STATE --allow-empty && git tag -f $STATE"
    tidy = "git gc -q --prune=now"
    restore = "mkdir out && git --work-tree=out checkout -q -f $STATE -- data"
    restored_to = "out/data"


class Restic(Tool):
    name, program, version, setup = "restic", "restic", "restic version", "restic init -q"
    environment = {"RESTIC_PASSWORD": "bench", "RESTIC_REPOSITORY": "store"}
    ingest = "restic backup -q --tag $STATE data"
    restore = "restic restore -q --tag $STATE latest --target out"
    restored_to = "out/data"


class Borg(Tool):
    name, program, version, setup = "borg", "borg", "borg --version", "borg init -e none store"
    compression = "lz4"
    environment = {
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    }
    restore = "mkdir out && cd out && borg extract ../store::$STATE-1"
    restored_to = "out/data"

    @property
    def ingest(self):
        return f"borg create --compression {self.compression} store::$STATE-$TIME data"


class BorgZstd(Borg):
    name, compression = "borg, zstd 3", "zstd,3"


class Casync(Tool):
    name, program, version, setup = "casync", "casync", "casync --version", "mkdir store"
    ingest = "casync make --store=store/c.castr store/$STATE.caidx data"
    restore = "mkdir out && casync extract --store=store/c.castr --seed-output=no store/$STATE.caidx out"


class Dvc(Tool):
    name, program, version = "dvc", "dvc", "dvc --version"
    stores = (".dvc/cache",)
    setup = f"{GIT} && dvc init -q && dvc config core.analytics false && git add -A && git commit -qm start"
    ingest = "dvc add -q data && git add -A && git commit -qm $STATE --allow-empty && git tag -f $STATE"
    before_restore = "rm -rf data"
    restore = "git checkout -q $STATE -- data.dvc && dvc checkout -q -f"
    restored_to = "data"


class Xet(Tool):
    """What the Rust package `hf-xet` installs with the feature `internal-tools`, against a local store."""

    name, program, version, setup = "xet", "xtool", "xtool --version", "mkdir store"
    endpoint = 'xtool --endpoint "$PWD/store/cas" -q file'
    ingest = f"{endpoint} upload --output store/$STATE.json $(find data -type f | LC_ALL=C sort)"
    # What the tool calls their contents, in the order of the upload.
    hashes = (
        "import json, sys; print(*(file.get('xet_info', file)['hash'] for file in json.load(sys.stdin)), sep='\\n')"
    )
    restore = (
        f'mkdir out && python3 -c "{hashes}" < store/$STATE.json > hashes && ls data | LC_ALL=C sort | '
        f"paste -d ' ' hashes - | while read -r hash name; do {endpoint} download $hash -o out/$name; done"
    )


class TarZstd(Tool):
    """The bar to clear first: no store at all, one archive for each state."""

    name, program, version, setup = "tar and zstd", "zstd", "zstd --version", "mkdir store"
    ingest = "tar c data | zstd -q -3 -T2 -f -o store/$STATE.tar.zst"
    restore = "mkdir out && zstd -q -dc store/$STATE.tar.zst | tar x -C out"
    restored_to = "out/data"


def all_tools(onenb):
    """Every tool that is installed, onenb first."""
    return [
        tool
        for tool in (Onenb(onenb), Git(), Restic(), Borg(), BorgZstd(), Casync(), Xet(), Dvc(), TarZstd())
        if tool.is_here()
    ]
