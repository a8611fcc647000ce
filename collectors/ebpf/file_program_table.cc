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

constexpr ProgramSpec traced(std::string_view feature, std::string_view name,
                             std::string_view function, bool optional) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kTrampoline,
          .function = function,
          .optional = optional};
}

constexpr ProgramSpec probed(std::string_view feature, std::string_view name,
                             std::string_view function, bool optional, bool at_return = false) {
  return {.name = name,
          .feature = feature,
          .tier = Tier::kKprobe,
          .function = function,
          .optional = optional,
          .at_return = at_return};
}

// Begin and end of a function, in both tiers that have functions.
#define TIDEGAUGE_TIMED(feature, name, function, optional)            \
  traced(feature, #name "_begins", function, optional),               \
      traced(feature, #name "_ends", function, optional),             \
      probed(feature, "probed_" #name "_begins", function, optional), \
      probed(feature, "probed_" #name "_ends", function, optional, true)
#define TIDEGAUGE_SYNC_CALL(name) \
  TIDEGAUGE_TIMED(kSyncCallsFeature, name, TIDEGAUGE_CALL_FUNCTION #name, false)
// Optional: not every architecture has every call, nor every kernel these functions apart from their callers.
#define TIDEGAUGE_OPERATION(name) \
  TIDEGAUGE_TIMED(kOperationsFeature, name, TIDEGAUGE_CALL_FUNCTION #name, true)
#define TIDEGAUGE_CHURN(name, function, optional)       \
  traced(kOtherChurnFeature, name, function, optional), \
      probed(kOtherChurnFeature, "probed_" name, function, optional)

constexpr ProgramSpec kPrograms[] = {
    TIDEGAUGE_TIMED(kSyncFeature, vfs_sync, "vfs_fsync_range", false),
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

    TIDEGAUGE_SYNC_CALL(fsync),
    TIDEGAUGE_SYNC_CALL(fdatasync),
    TIDEGAUGE_SYNC_CALL(msync),
    TIDEGAUGE_SYNC_CALL(sync_file_range),
    TIDEGAUGE_SYNC_CALL(syncfs),
    TIDEGAUGE_TIMED(kSyncCallsFeature, sync, "ksys_sync", false),
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

    TIDEGAUGE_CHURN("dentry_gets_inode", "d_instantiate", false),
    TIDEGAUGE_CHURN("dentry_gets_new_inode", "d_instantiate_new", false),
    TIDEGAUGE_CHURN("file_has_no_name", "d_tmpfile", true),
    TIDEGAUGE_CHURN("dentry_stays", "d_make_persistent", true),
    TIDEGAUGE_CHURN("file_is_unlinked", "security_inode_unlink", true),
    TIDEGAUGE_CHURN("inode_is_evicted", "inode_wait_for_writeback", false),
    // Each of a file system of its own.
    {.name = "btrfs_file_created",
     .feature = kOtherChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_inode_new",
     .module = "btrfs",
     .arguments = 1,
     .optional = true},
    {.name = "btrfs_file_evicted",
     .feature = kOtherChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "btrfs_inode_evict",
     .module = "btrfs",
     .arguments = 1,
     .optional = true},
    {.name = kXfsInodeDestroyed,
     .feature = kOtherChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "xfs_destroy_inode",
     .module = "xfs",
     .arguments = 1,
     .optional = true,
     .layout_struct = kXfsInode,
     .layout_member = kXfsInodeMember},
    {.name = "change_time_is_set",
     .feature = kOtherChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ctime_ns_xchg",
     .typed_argument = 0,
     .argument_type = "struct inode *",
     .optional = true},
    {.name = "change_time_is_kept",
     .feature = kOtherChurnFeature,
     .tier = Tier::kTracepoint,
     .tracepoint = "ctime_xchg_skip",
     .typed_argument = 0,
     .argument_type = "struct inode *",
     .optional = true},

    TIDEGAUGE_TIMED(kOperationsFeature, vfs_read, "vfs_read", false),
    TIDEGAUGE_TIMED(kOperationsFeature, vfs_write, "vfs_write", false),
    TIDEGAUGE_TIMED(kOperationsFeature, vfs_readv, "vfs_readv", true),
    TIDEGAUGE_TIMED(kOperationsFeature, vfs_writev, "vfs_writev", true),
    TIDEGAUGE_OPERATION(open),
    TIDEGAUGE_OPERATION(creat),
    TIDEGAUGE_OPERATION(openat),
    TIDEGAUGE_OPERATION(openat2),
    TIDEGAUGE_OPERATION(unlink),
    TIDEGAUGE_OPERATION(unlinkat),
    TIDEGAUGE_OPERATION(rename),
    TIDEGAUGE_OPERATION(renameat),
    TIDEGAUGE_OPERATION(renameat2),
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
