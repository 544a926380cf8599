"""The disk image and kernel of the virtual machine: made once for its contents, kept in the user's cache folder."""
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tempfile
import time

SUITE = "bookworm"
# What a real host of ours has; then the libraries that our programs need; then the interpreters of evaluators.
PACKAGES = (
    "systemd-sysv", "udev", "dbus", "linux-image-cloud-amd64", "initramfs-tools",
    "libcurl4", "liblua5.4-0", "libsimdjson14", "libspdlog1.10", "libsqlite3-0", "libssl3", "libsystemd0",
    "libtomlplusplus3", "libzstd1",
    "python3", "nodejs",
)
USER = "assay-test"  # the unprivileged service user
KEPT_DAYS = 14  # an image that no test asks for
NEEDED = {"qemu-system-x86_64": "qemu-system-x86", "mmdebstrap": "mmdebstrap", "mke2fs": "e2fsprogs"}

# Before the kernel is installed: its initial file system holds no more than the way to the disk, uncompressed.
BEFORE = r"""
set -e
mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"
printf 'MODULES=list\nCOMPRESS=cat\n' >"$1/etc/initramfs-tools/conf.d/assay"
printf 'virtio_pci\nvirtio_blk\n' >"$1/usr/share/initramfs-tools/modules.d/assay.conf"
"""

# After it: the service that speaks to the host, and nothing that costs time at boot and serves no test.
AFTER = r"""
set -e
root=$1 folder=$2 user=$3
cat >"$root/etc/systemd/system/assay-guest.service" <<'UNIT'
[Unit]
Description=Runs what the host of this machine asks for
RequiresMountsFor=/assay

[Service]
ExecStart=/usr/bin/python3 /assay/guest.py
StandardError=journal+console

[Install]
WantedBy=multi-user.target
UNIT
printf '/dev/vda / ext4 defaults 0 0\n/dev/vdb /assay ext4 defaults 0 0\n' >"$root/etc/fstab"
mkdir "$root/assay"
systemctl --quiet --root="$root" enable assay-guest.service
systemctl --quiet --root="$root" mask getty.target apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer systemd-binfmt.service systemd-journal-flush.service \
  systemd-logind.service systemd-pstore.service systemd-update-utmp.service modprobe@dm_mod.service \
  modprobe@drm.service modprobe@efi_pstore.service modprobe@loop.service
chroot "$root" useradd --system "$user"
systemd-machine-id-setup --root="$root" >/dev/null 2>&1
cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd"
rm -rf "$root"/boot/* "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
touch "$root/etc/.updated" "$root/var/.updated"
# The plain bind mount leaves out what is mounted within, /proc above all.
mount --bind "$root" "$root/mnt"
mke2fs -q -F -t ext4 -O ^has_journal -d "$root/mnt" "$folder/disk" 2G
umount "$root/mnt"
"""


class Skip(Exception):
    """Why this machine cannot run the tests at all."""


def mirror():
    """Where this machine gets Debian's packages from."""
    if shutil.which("apt-get") is None:
        raise Skip("this is no Debian machine: there is no apt-get to tell where packages come from")
    listed = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages",
                             "Origin: Debian", "Label: Debian"], capture_output=True, text=True).stdout.split()
    if not listed:
        raise Skip("the settings of apt name no Debian mirror (or `apt-get update` never ran)")
    return listed[0]


def proxies():
    """The settings of apt that say how a mirror is reached, for an apt that knows nothing else of this machine."""
    lines = []
    for kind in ("http", "https"):
        lines += subprocess.run(["apt-config", "dump", "--no-empty", f"Acquire::{kind}"], capture_output=True,
                                text=True, check=True).stdout.splitlines()
    return [f"--aptopt={line}" for line in lines]


def reachable(source, folder):
    done = subprocess.run(["/usr/lib/apt/apt-helper", "-o", "Acquire::Retries=0", "-o", "Acquire::http::Timeout=20",
                           "download-file", f"{source}dists/{SUITE}/InRelease", str(folder / "InRelease")],
                          capture_output=True, text=True)
    return done.returncode == 0


def make(folder, as_root):
    """Fills `folder` with disk, vmlinuz and initrd."""
    source = mirror()
    if not reachable(source, folder):
        raise Skip(f"the mirror {source} is not reachable, and there is no image in the cache")
    for name, text in (("before", BEFORE), ("after", AFTER)):
        (folder / name).write_text(text)
    log = folder / "log"
    with open(log, "wb") as output:
        done = subprocess.run([
            *as_root, "env", f"TMPDIR={folder}", "mmdebstrap", "--variant=minbase", "--mode=root", "--format=null",
            *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "locale")), *proxies(),
            f"--include={','.join(PACKAGES)}", f'--essential-hook=sh "{folder}/before" "$1"',
            f'--customize-hook=sh "{folder}/after" "$1" "{folder}" {USER}', SUITE, "/dev/null", source],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    if done.returncode != 0:
        raise SystemExit(f"cannot make the image:\n{log.read_text(errors='replace')[-4000:]}")
    for name in ("before", "after", "log", "InRelease"):
        (folder / name).unlink()


def prepared():
    """The folder with disk, vmlinuz and initrd."""
    if platform.machine() != "x86_64":
        raise Skip(f"the virtual machine is for programs of x86_64, and this is {platform.machine()}")
    missing = [package for program, package in NEEDED.items() if shutil.which(program) is None]
    if missing:
        raise Skip(f"not installed, and could not be: {' '.join(missing)}")
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "assay-hosts"
    contents = json.dumps([SUITE, PACKAGES, USER, BEFORE, AFTER])
    image = cache / hashlib.sha256(contents.encode()).hexdigest()[:16]
    if image.exists():
        os.utime(image)
        return image
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    if as_root and shutil.which("sudo") is None:
        raise Skip("making the image of the virtual machine needs root or sudo")
    print("making the image of the virtual machine (once, minutes) …", flush=True)
    cache.mkdir(parents=True, exist_ok=True)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="new-", dir=cache))
    try:
        make(folder, as_root)
        for old in cache.iterdir():
            if old.stat().st_mtime < time.time() - KEPT_DAYS * 86_400:
                shutil.rmtree(old, ignore_errors=True)
        try:
            folder.rename(image)
        except OSError:
            if not image.exists():  # or somebody else made the same meanwhile
                raise
    finally:
        subprocess.run([*as_root, "rm", "-rf", "--one-file-system", folder])
    return image
