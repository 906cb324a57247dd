"""The system calls that a sandboxed program does without, as a filter that the kernel runs.

A list of what is refused, as Flatpak keeps one over bubblewrap: what mounts, makes namespaces, loads code into the kernel, looks
into other processes, keeps keys, or has a record of holes that an unprivileged process can reach (io_uring, userfaultfd, bpf,
exotic sockets). It is the second wall: namespaces, no capabilities and no new privileges are the first.

Numbers are part of the kernel's binary interface and never change: `asm/unistd_64.h` and `asm-generic/unistd.h`.
"""

from __future__ import annotations

import errno
import platform
import struct

# Name: its number for x86_64, for aarch64; None where that processor has no such call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # Mounts and roots.
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    # Namespaces; `clone` is looked at more closely.
    "unshare": (272, 97),
    "setns": (308, 268),
    # The kernel and the machine.
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "syslog": (103, 116),
    "vhangup": (153, 58),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "uselib": (134, None),
    "sysfs": (139, None),
    "ustat": (136, None),
    # Other processes.
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "set_mempolicy_home_node": (450, 450),
    # Keys of the user.
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
}
# Besides, to what is somebody's plugin: no image of a vendor's was built with it.
REFUSED_TO_PLUGINS: dict[str, tuple[int | None, int | None]] = {
    "personality": (135, 92),
    "statmount": (457, 457),
    "listmount": (458, 458),
    "lsm_set_self_attr": (460, 460),
    "open_tree_attr": (467, 467),
    "file_setattr": (469, 469),
    "process_mrelease": (448, 448),
    "memfd_secret": (447, 447),
    "_sysctl": (156, None),
    "create_module": (174, None),
    "get_kernel_syms": (177, None),
    "query_module": (178, None),
    "afs_syscall": (183, None),
    "tuxcall": (184, None),
    "security": (185, None),
}
# What the kernel learns after this table was written is not there for plugins.
NEWEST = 469
CLONE = (56, 220)
CLONE3 = (435, 435)
SOCKET = (41, 198)
IOCTL = (16, 29)
# Of a new namespace, whichever.
CLONE_NEW = 0x7E020080
# Unix, IPv4, IPv6, and netlink, which resolvers ask for addresses.
SOCKET_FAMILIES: tuple[int, ...] = (1, 2, 10, 16)
# They put characters into a terminal's input.
TERMINAL_IOCTLS = (0x5412, 0x541C)

AUDIT_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7), "arm64": (1, 0xC00000B7)}
X32_BIT = 0x40000000

# Classic BPF: load a word, compare, return.
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
# Offsets in `struct seccomp_data`; of an argument, the low word: both processors are little-endian.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16

_Instruction = tuple[int, int, int, int]


def seccomp_filter(
    machine: str | None = None, *, plugin: bool = False, families: tuple[int, ...] = SOCKET_FAMILIES
) -> bytes | None:
    """The filter as `bwrap --seccomp` reads it; None for a processor whose numbers are not known here.

    Args:
        machine: As `platform.machine()` says, which is the default.
        plugin: Whether it is for a plugin, which gets less.
        families: Of sockets that it may open.
    """
    known = AUDIT_ARCHITECTURES.get(machine or platform.machine())
    if known is None:
        return None
    column, architecture = known
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        # 32-bit calls have other numbers: there are none.
        (_EQUAL, 1, 0, architecture),
        _refuse(errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER),
    ]
    if column == 0:
        program += [(_AT_LEAST, 0, 1, X32_BIT), _refuse(errno.ENOSYS)]
    for numbers in (REFUSED | REFUSED_TO_PLUGINS if plugin else REFUSED).values():
        if (number := numbers[column]) is not None:
            program += [(_EQUAL, 0, 1, number), _refuse(errno.EPERM)]
    if plugin:
        program += [(_AT_LEAST, 0, 1, NEWEST + 1), _refuse(errno.ENOSYS)]
    # Its flags lie in memory, out of a filter's reach; without it, C libraries use `clone`.
    program += [(_EQUAL, 0, 1, CLONE3[column]), _refuse(errno.ENOSYS)]
    program += _when(CLONE[column], 0, [(_ANY_BIT, 0, 1, CLONE_NEW), _refuse(errno.EPERM)])
    ioctls = [step for number in TERMINAL_IOCTLS for step in ((_EQUAL, 0, 1, number), _refuse(errno.EPERM))]
    program += _when(IOCTL[column], 1, ioctls)
    known_families = [(_EQUAL, len(families) - place, 0, family) for place, family in enumerate(families)]
    program += _when(SOCKET[column], 0, [*known_families, _refuse(errno.EAFNOSUPPORT)])
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _refuse(number: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


def _when(number: int, argument: int, steps: list[_Instruction]) -> list[_Instruction]:
    """These steps for one call, with its argument loaded; they fall or jump through to an end that allows."""
    inner = [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument), *steps, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(inner), number), *inner]
