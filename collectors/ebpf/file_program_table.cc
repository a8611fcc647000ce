// SPDX-License-Identifier: Apache-2.0
#include "collectors/ebpf/file_program_table.h"

#include <sys/syscall.h>

#include "bpf/file_records.h"
#include "collectors/ebpf/file_programs.h"

namespace tidegauge {

namespace {

#if defined(__aarch64__)
#define TIDEGAUGE_CALL_FUNCTION "__arm64_sys_"
#else
#define TIDEGAUGE_CALL_FUNCTION "__x64_sys_"
#endif

constexpr ProgramSpec call_program(std::string_view name, std::string_view function) {
  return {
      .name = name, .feature = kSyncCallsFeature, .tier = Tier::kTrampoline, .function = function};
}

// Optional: not every architecture has every call, nor every kernel these functions apart from their callers.
constexpr ProgramSpec operation_program(std::string_view name, std::string_view function) {
  return {.name = name,
          .feature = kOperationsFeature,
          .tier = Tier::kTrampoline,
          .function = function,
          .optional = true};
}

constexpr ProgramSpec kPrograms[] = {
    {.name = "vfs_sync_begins",
     .feature = kSyncFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_fsync_range"},
    {.name = "vfs_sync_ends",
     .feature = kSyncFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_fsync_range"},
    {.name = "ext4_sync_begins",
     .feature = kSyncFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_sync_file_enter",
     .module = "ext4"},
    {.name = "ext4_sync_ends",
     .feature = kSyncFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_sync_file_exit",
     .module = "ext4"},
    {.name = "btrfs_sync_begins",
     .feature = kSyncFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_sync_file",
     .module = "btrfs",
     .optional = true},

    call_program("fsync_begins", TIDEGAUGE_CALL_FUNCTION "fsync"),
    call_program("fsync_ends", TIDEGAUGE_CALL_FUNCTION "fsync"),
    call_program("fdatasync_begins", TIDEGAUGE_CALL_FUNCTION "fdatasync"),
    call_program("fdatasync_ends", TIDEGAUGE_CALL_FUNCTION "fdatasync"),
    call_program("msync_begins", TIDEGAUGE_CALL_FUNCTION "msync"),
    call_program("msync_ends", TIDEGAUGE_CALL_FUNCTION "msync"),
    call_program("sync_file_range_begins", TIDEGAUGE_CALL_FUNCTION "sync_file_range"),
    call_program("sync_file_range_ends", TIDEGAUGE_CALL_FUNCTION "sync_file_range"),
    call_program("syncfs_begins", TIDEGAUGE_CALL_FUNCTION "syncfs"),
    call_program("syncfs_ends", TIDEGAUGE_CALL_FUNCTION "syncfs"),
    call_program("sync_begins", "ksys_sync"),
    call_program("sync_ends", "ksys_sync"),
    {.name = "any_call_begins",
     .feature = kSyncCallsFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "sys_enter"},
    {.name = "any_call_ends",
     .feature = kSyncCallsFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "sys_exit"},

    {.name = "ext4_delayed_write_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_da_write_end",
     .module = "ext4",
     .arguments = 4},
    {.name = "ext4_write_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_write_end",
     .module = "ext4",
     .arguments = 4,
     .optional = true},
    {.name = "ext4_journalled_write_ends",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_journalled_write_end",
     .module = "ext4",
     .arguments = 4,
     .optional = true},
    {.name = "pages_read",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "mm_filemap_get_pages",
     .arguments = 3,
     .optional = true},
    {.name = "direct_begins",
     .feature = kFileBytesFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "iomap_dio_rw_begin",
     .typed_argument = 1,
     .argument_type = "struct iov_iter *",
     .optional = true},

    {.name = "ext4_file_created",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_allocate_inode",
     .module = "ext4",
     .arguments = 3},
    {.name = "ext4_file_unlinked",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_unlink_enter",
     .module = "ext4",
     .arguments = 2},
    {.name = "ext4_file_evicted",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ext4_evict_inode",
     .module = "ext4",
     .arguments = 1},
    {.name = "btrfs_file_created",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_inode_new",
     .module = "btrfs",
     .arguments = 1,
     .optional = true},
    {.name = "btrfs_file_evicted",
     .feature = kChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_inode_evict",
     .module = "btrfs",
     .arguments = 1,
     .optional = true},

    {.name = "vfs_read_begins",
     .feature = kOperationsFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_read"},
    {.name = "vfs_read_ends",
     .feature = kOperationsFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_read"},
    {.name = "vfs_write_begins",
     .feature = kOperationsFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_write"},
    {.name = "vfs_write_ends",
     .feature = kOperationsFeature,
     .tier = Tier::kTrampoline,
     .function = "vfs_write"},
    operation_program("vfs_readv_begins", "vfs_readv"),
    operation_program("vfs_readv_ends", "vfs_readv"),
    operation_program("vfs_writev_begins", "vfs_writev"),
    operation_program("vfs_writev_ends", "vfs_writev"),
    operation_program("open_begins", TIDEGAUGE_CALL_FUNCTION "open"),
    operation_program("open_ends", TIDEGAUGE_CALL_FUNCTION "open"),
    operation_program("creat_begins", TIDEGAUGE_CALL_FUNCTION "creat"),
    operation_program("creat_ends", TIDEGAUGE_CALL_FUNCTION "creat"),
    operation_program("openat_begins", TIDEGAUGE_CALL_FUNCTION "openat"),
    operation_program("openat_ends", TIDEGAUGE_CALL_FUNCTION "openat"),
    operation_program("openat2_begins", TIDEGAUGE_CALL_FUNCTION "openat2"),
    operation_program("openat2_ends", TIDEGAUGE_CALL_FUNCTION "openat2"),
    operation_program("unlink_begins", TIDEGAUGE_CALL_FUNCTION "unlink"),
    operation_program("unlink_ends", TIDEGAUGE_CALL_FUNCTION "unlink"),
    operation_program("unlinkat_begins", TIDEGAUGE_CALL_FUNCTION "unlinkat"),
    operation_program("unlinkat_ends", TIDEGAUGE_CALL_FUNCTION "unlinkat"),
    operation_program("rename_begins", TIDEGAUGE_CALL_FUNCTION "rename"),
    operation_program("rename_ends", TIDEGAUGE_CALL_FUNCTION "rename"),
    operation_program("renameat_begins", TIDEGAUGE_CALL_FUNCTION "renameat"),
    operation_program("renameat_ends", TIDEGAUGE_CALL_FUNCTION "renameat"),
    operation_program("renameat2_begins", TIDEGAUGE_CALL_FUNCTION "renameat2"),
    operation_program("renameat2_ends", TIDEGAUGE_CALL_FUNCTION "renameat2"),
    {.name = "any_operation_begins",
     .feature = kOperationsFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "sys_enter"},
    {.name = "any_operation_ends",
     .feature = kOperationsFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "sys_exit"},
};

constexpr FileCall kCalls[] = {
    {SYS_fsync, TG_FILE_FSYNC | TG_CALL_HAS_FD},
    {SYS_fdatasync, TG_FILE_FDATASYNC | TG_CALL_HAS_FD},
    {SYS_msync, TG_FILE_MSYNC},
#ifdef SYS_sync_file_range
    {SYS_sync_file_range, TG_FILE_SYNC_FILE_RANGE | TG_CALL_HAS_FD},
#endif
    {SYS_syncfs, TG_FILE_SYNCFS | TG_CALL_HAS_FD},
    {SYS_sync, TG_FILE_SYNC},
    {SYS_write, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_pwrite64, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_writev, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_pwritev, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_pwritev2, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_sendfile, TG_FILE_WRITE | TG_CALL_HAS_FD},
    {SYS_read, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_pread64, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_readv, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_preadv, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_preadv2, TG_FILE_READ | TG_CALL_HAS_FD},
    {SYS_openat, TG_FILE_OPEN},
    {SYS_openat2, TG_FILE_OPEN},
    {SYS_unlinkat, TG_FILE_UNLINK},
#ifdef SYS_renameat
    {SYS_renameat, TG_FILE_RENAME},
#endif
    {SYS_renameat2, TG_FILE_RENAME},
#ifdef SYS_open  // arm64 has no calls without "at"
    {SYS_open, TG_FILE_OPEN},
    {SYS_creat, TG_FILE_OPEN},
    {SYS_unlink, TG_FILE_UNLINK},
    {SYS_rename, TG_FILE_RENAME},
#endif
};

}  // namespace

std::span<const ProgramSpec> file_program_specs() { return kPrograms; }

std::span<const FileCall> file_calls() { return kCalls; }

}  // namespace tidegauge
