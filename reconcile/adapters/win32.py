"""Windows system calls that Python lacks, via ``ctypes``. No decisions are made here, and only Windows runs it.

Only a real Windows can show what a simulation cannot: that these declarations are right, the access lists, how long a
program's writes delay a file's times, and what a network drive answers to each call.
"""

from __future__ import annotations

import sys
from typing import Any

if sys.platform == "win32":
    import ctypes
    import msvcrt
    import os
    from ctypes import c_void_p
    from ctypes.wintypes import BOOL, DWORD, HANDLE, LPCWSTR, LPWSTR, UINT

    _GENERIC_READ = 0x80000000
    _READ_ATTRIBUTES = 0x80  # takes no part in sharing checks
    _SHARE_READ, _SHARE_WRITE, _SHARE_DELETE = 1, 2, 4
    _OPEN_EXISTING = 3
    # Not FILE_FLAG_OPEN_REPARSE_POINT for reading: for a deduplicated file it would show the point, not the content.
    # The open file is asked instead where a link leads.
    _SEQUENTIAL_SCAN = 0x08000000
    _OPEN_REPARSE_POINT = 0x00200000
    _BACKUP_SEMANTICS = 0x02000000
    _FILE_BASIC_INFO = 0
    _DRIVE_REMOTE = 4
    _FILE_OBJECT = 1  # SE_FILE_OBJECT
    _OWNER_INFORMATION = 1
    _LONGEST_ACCOUNT = 256
    _VIRTUAL_TERMINAL = 4
    _FROM_1601_TO_1970 = 116_444_736_000_000_000  # in units of 100 ns
    _INVALID = c_void_p(-1).value

    class _BasicInfo(ctypes.Structure):
        _fields_ = (
            ("CreationTime", ctypes.c_int64),
            ("LastAccessTime", ctypes.c_int64),
            ("LastWriteTime", ctypes.c_int64),
            ("ChangeTime", ctypes.c_int64),
            ("FileAttributes", DWORD),
        )

    class Win32:
        """Windows' own calls; see ``windows.Calls``."""

        def __init__(self) -> None:
            kernel: Any = ctypes.WinDLL("kernel32", use_last_error=True)
            security: Any = ctypes.WinDLL("advapi32", use_last_error=True)
            self._create = _declared(kernel.CreateFileW, HANDLE, LPCWSTR, DWORD, DWORD, c_void_p, DWORD, DWORD, HANDLE)
            self._close = _declared(kernel.CloseHandle, BOOL, HANDLE)
            self._information = _declared(
                kernel.GetFileInformationByHandleEx, BOOL, HANDLE, ctypes.c_int, c_void_p, DWORD
            )
            self._final_path = _declared(kernel.GetFinalPathNameByHandleW, DWORD, HANDLE, LPWSTR, DWORD, DWORD)
            self._replace = _declared(kernel.ReplaceFileW, BOOL, LPCWSTR, LPCWSTR, LPCWSTR, DWORD, c_void_p, c_void_p)
            self._console_mode = _declared(kernel.GetConsoleMode, BOOL, HANDLE, c_void_p)
            self._set_console_mode = _declared(kernel.SetConsoleMode, BOOL, HANDLE, DWORD)
            self._free = _declared(kernel.LocalFree, c_void_p, c_void_p)
            self._drive_type = _declared(kernel.GetDriveTypeW, UINT, LPCWSTR)
            pointer, number = ctypes.POINTER(c_void_p), ctypes.POINTER(DWORD)
            self._security = _declared(
                security.GetNamedSecurityInfoW, DWORD, LPCWSTR, ctypes.c_int, DWORD, *(pointer,) * 5
            )
            self._account = _declared(
                security.LookupAccountSidW, BOOL, LPCWSTR, c_void_p, LPWSTR, number, LPWSTR, number, number
            )

        def _opened(self, path: str, access: int, share: int, flags: int) -> int:
            handle = self._create(path, access, share, None, _OPEN_EXISTING, flags, None)
            if handle in (None, _INVALID):
                raise _failure(path)
            return int(handle)

        def open_shared(self, path: str, *, deny_writers: bool = False) -> int:
            share = _SHARE_READ | _SHARE_DELETE | (0 if deny_writers else _SHARE_WRITE)
            handle = self._opened(path, _GENERIC_READ, share, _SEQUENTIAL_SCAN)
            try:
                return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)
            except BaseException:
                self._close(handle)
                raise

        def final_path(self, fd: int) -> str:
            buffer = ctypes.create_unicode_buffer(32768)
            if not self._final_path(msvcrt.get_osfhandle(fd), buffer, len(buffer), 0):
                raise _failure("")
            return buffer.value

        def changed_ns(self, file: str | int) -> int:
            if isinstance(file, int):
                return self._changed_ns(msvcrt.get_osfhandle(file))
            share = _SHARE_READ | _SHARE_WRITE | _SHARE_DELETE
            handle = self._opened(file, _READ_ATTRIBUTES, share, _OPEN_REPARSE_POINT | _BACKUP_SEMANTICS)
            try:
                return self._changed_ns(handle)
            finally:
                self._close(handle)

        def _changed_ns(self, handle: int) -> int:
            found = _BasicInfo()
            if not self._information(handle, _FILE_BASIC_INFO, ctypes.byref(found), ctypes.sizeof(found)):
                raise _failure("")
            return (int(found.ChangeTime) - _FROM_1601_TO_1970) * 100

        def replace_file(self, place: str, fresh: str, backup: str) -> None:
            if not self._replace(place, fresh, backup, 0, None, None):
                raise _failure(place)

        def drive_target(self, drive: str) -> str:
            return os.path.realpath(drive)

        def takes_escapes(self, fd: int) -> bool:
            mode = DWORD()
            handle = msvcrt.get_osfhandle(fd)
            if not self._console_mode(handle, ctypes.byref(mode)):
                return True
            return bool(self._set_console_mode(handle, mode.value | _VIRTUAL_TERMINAL))

        def is_remote(self, path: str) -> bool:
            drive, _ = os.path.splitdrive(os.path.abspath(path))
            return drive.startswith("\\\\") or self._drive_type(f"{drive}\\") == _DRIVE_REMOTE

        def owner(self, path: str) -> str:
            sid, held = c_void_p(), c_void_p()
            code = self._security(
                path, _FILE_OBJECT, _OWNER_INFORMATION, ctypes.byref(sid), None, None, None, ctypes.byref(held)
            )
            if code:
                raise ctypes.WinError(code)
            try:
                name, domain = (ctypes.create_unicode_buffer(_LONGEST_ACCOUNT) for _ in range(2))
                sizes = [DWORD(_LONGEST_ACCOUNT) for _ in range(2)]
                kind = DWORD()
                if not self._account(
                    None, sid, name, ctypes.byref(sizes[0]), domain, ctypes.byref(sizes[1]), ctypes.byref(kind)
                ):
                    raise _failure(path)
            finally:
                self._free(held)
            return f"{domain.value}\\{name.value}" if domain.value else name.value

    def _declared(call: Any, result: Any, *arguments: Any) -> Any:
        """Returns a library call with its C types declared."""
        call.restype, call.argtypes = result, arguments
        return call

    def _failure(path: str) -> OSError:
        error = ctypes.WinError(ctypes.get_last_error())
        error.filename = path or None
        return error
