// SPDX-License-Identifier: Apache-2.0
#include "collectors/core/kernel_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;
using testing::FixtureTree;

std::size_t open_descriptors() {
  const auto names = list_directory("/proc/self/fd");
  return names ? names->size() : 0;
}

ErrorKind kind_of(const Error& error) { return error.kind; }

// A FIFO with nobody at its other end, which stops a careless open() for good.
void make_fifo(const FixtureTree& tree, std::string_view relative) {
  tree.write(std::string(relative) + ".parent", "");
  ASSERT_EQ(::mkfifo(tree.path(relative).c_str(), 0600), 0);
}

bool root() { return ::geteuid() == 0; }

// Roots

TEST(KernelFiles, JoinsBelowTheRoots) {
  const KernelFiles files(KernelRoots{.procfs = "/host/proc",
                                      .sysfs = "/host/sys/",
                                      .rootfs = "/host",
                                      .udev_data = "/host/run/udev/data//"});
  EXPECT_EQ(files.proc("stat"), "/host/proc/stat");
  EXPECT_EQ(files.proc("/stat"), "/host/proc/stat");
  EXPECT_EQ(files.proc("net/dev"), "/host/proc/net/dev");
  EXPECT_EQ(files.sys("block/sda"), "/host/sys/block/sda");
  EXPECT_EQ(files.udev("b8:0"), "/host/run/udev/data/b8:0");
  EXPECT_EQ(files.root("/etc/os-release"), "/host/etc/os-release");
  EXPECT_EQ(files.proc_file("stat").path(), "/host/proc/stat");
}

TEST(KernelFiles, Defaults) {
  const KernelFiles files;
  EXPECT_EQ(files.proc("stat"), "/proc/stat");
  EXPECT_EQ(files.sys("block"), "/sys/block");
  EXPECT_EQ(files.udev("b8:0"), "/run/udev/data/b8:0");
  EXPECT_EQ(files.root("/etc/os-release"), "/etc/os-release");
  EXPECT_EQ(files.root("etc/os-release"), "/etc/os-release");
}

TEST(KernelFiles, SlashesAtTheEndDoNotMatter) {
  const KernelFiles files(KernelRoots{.procfs = "/p//", .sysfs = "//", .rootfs = "/"});
  EXPECT_EQ(files.roots().procfs, "/p");
  EXPECT_EQ(files.roots().sysfs, "/");
  EXPECT_EQ(files.proc("stat"), "/p/stat");
  EXPECT_EQ(files.sys("x"), "/x");
}

TEST(KernelFiles, StripRoot) {
  const KernelFiles host(KernelRoots{.rootfs = "/host/"});
  EXPECT_EQ(host.strip_root("/host/var/lib"), "/var/lib");
  EXPECT_EQ(host.strip_root("/host"), "/");
  EXPECT_EQ(host.strip_root("/host/"), "/");
  EXPECT_EQ(host.strip_root("/hostile/var"), "/hostile/var") << "another name that begins alike";
  EXPECT_EQ(host.strip_root("/var"), "/var");
  EXPECT_EQ(host.strip_root(""), "");
  const KernelFiles plain;
  EXPECT_EQ(plain.strip_root("/"), "/");
  EXPECT_EQ(plain.strip_root("/var"), "/var");
}

// read_file

TEST(ReadFile, WholeContentOfAnySize) {
  const FixtureTree tree;
  ReadBuffer buffer;
  for (const std::size_t size : {0UL, 1UL, 4096UL, 16383UL, 16384UL, 16385UL, 32768UL, 1000003UL}) {
    std::string content(size, '\0');
    for (std::size_t i = 0; i < size; ++i) {
      content[i] = static_cast<char>(i * 7);
    }
    tree.write("proc/x", content);
    const auto text = read_file(tree.path("proc/x"), buffer);
    ASSERT_TRUE(text) << error_text(text);
    EXPECT_EQ(*text, content) << size;
  }
}

TEST(ReadFile, TooLarge) {
  const FixtureTree tree;
  ReadBuffer buffer;
  tree.write("proc/x", std::string(kMaxKernelFileBytes, 'x'));
  EXPECT_TRUE(read_file(tree.path("proc/x"), buffer));
  tree.write("proc/x", std::string(kMaxKernelFileBytes + 1, 'x'));
  const auto text = read_file(tree.path("proc/x"), buffer);
  ASSERT_FALSE(text);
  EXPECT_EQ(kind_of(text.error()), ErrorKind::kTooLarge);
  EXPECT_EQ(text.error().where, tree.path("proc/x"));
  tree.write("proc/x", "12345");
  EXPECT_TRUE(read_file(tree.path("proc/x"), buffer, 5));
  EXPECT_FALSE(read_file(tree.path("proc/x"), buffer, 4));
}

TEST(ReadFile, EndlessDeviceIsTooLarge) {
  ReadBuffer buffer;
  const auto text = read_file("/dev/zero", buffer, 100'000);
  ASSERT_FALSE(text);
  EXPECT_EQ(kind_of(text.error()), ErrorKind::kTooLarge);
}

TEST(ReadFile, Missing) {
  const FixtureTree tree;
  ReadBuffer buffer;
  tree.write("proc/file", "x");
  EXPECT_EQ(kind_of(read_file(tree.path("proc/none"), buffer).error()), ErrorKind::kMissing);
  EXPECT_EQ(kind_of(read_file(tree.path("proc/file/below"), buffer).error()), ErrorKind::kMissing);
  tree.link("proc/dangling", "nowhere");
  EXPECT_EQ(kind_of(read_file(tree.path("proc/dangling"), buffer).error()), ErrorKind::kMissing);
  EXPECT_EQ(error_text(read_file(tree.path("proc/none"), buffer)),
            "missing: " + tree.path("proc/none") + ": No such file or directory");
}

TEST(ReadFile, Denied) {
  if (root()) {
    GTEST_SKIP() << "root may read everything";
  }
  const FixtureTree tree;
  ReadBuffer buffer;
  tree.write("proc/secret", "x");
  ASSERT_EQ(::chmod(tree.path("proc/secret").c_str(), 0), 0);
  EXPECT_EQ(kind_of(read_file(tree.path("proc/secret"), buffer).error()), ErrorKind::kDenied);
}

TEST(ReadFile, DirectoryIsAnError) {
  const FixtureTree tree;
  ReadBuffer buffer;
  tree.write("proc/dir/x", "");
  const auto text = read_file(tree.path("proc/dir"), buffer);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().errno_value, EISDIR);
}

TEST(ReadFile, FifoDoesNotBlock) {
  const FixtureTree tree;
  ReadBuffer buffer;
  make_fifo(tree, "proc/x");
  const auto text = read_file(tree.path("proc/x"), buffer);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().errno_value, ESPIPE);
}

TEST(ReadFile, LeaksNoDescriptor) {
  const FixtureTree tree;
  ReadBuffer buffer;
  tree.write("proc/dir/x", "x");
  make_fifo(tree, "proc/fifo");
  const std::size_t before = open_descriptors();
  (void)read_file(tree.path("proc/dir/x"), buffer);
  (void)read_file(tree.path("proc/dir/x"), buffer, 0);
  (void)read_file(tree.path("proc/dir"), buffer);
  (void)read_file(tree.path("proc/fifo"), buffer);
  (void)read_file(tree.path("proc/none"), buffer);
  EXPECT_EQ(open_descriptors(), before);
}

// KernelFile

TEST(KernelFile, SeesAFileThatWasReplaced) {
  const FixtureTree tree;
  ReadBuffer buffer;
  tree.write("proc/x", "first");
  const std::size_t before = open_descriptors();
  KernelFile file(tree.path("proc/x"));
  EXPECT_EQ(file.read(buffer), "first");
  EXPECT_EQ(open_descriptors(), before) << "nothing is kept open outside procfs";
  tree.remove("proc/x");
  EXPECT_EQ(kind_of(file.read(buffer).error()), ErrorKind::kMissing);
  tree.write("proc/x", "second");
  EXPECT_EQ(file.read(buffer), "second");
}

TEST(KernelFile, KeepsAProcfsDescriptorAndReadsAfresh) {
  ReadBuffer buffer;
  KernelFile file("/proc/uptime");
  const std::size_t before = open_descriptors();
  const auto first = file.read(buffer);
  if (!first) {
    GTEST_SKIP() << "no procfs here: " << error_text(first);
  }
  const std::string earlier(*first);
  EXPECT_EQ(open_descriptors(), before + 1);
  for (int i = 0; i < 10; ++i) {
    const auto text = file.read(buffer);
    ASSERT_TRUE(text) << error_text(text);
    EXPECT_TRUE(text->ends_with('\n'));
    EXPECT_GE(std::strtod(text->data(), nullptr), std::strtod(earlier.c_str(), nullptr));
  }
  EXPECT_EQ(open_descriptors(), before + 1);

  KernelFile moved(std::move(file));
  EXPECT_TRUE(moved.read(buffer));
  EXPECT_EQ(open_descriptors(), before + 1);
}

TEST(KernelFile, ClosesItsDescriptor) {
  ReadBuffer buffer;
  const std::size_t before = open_descriptors();
  {
    KernelFile file("/proc/uptime");
    (void)file.read(buffer);
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(KernelFile, TextDoesNotDependOnTheBuffersSize) {
  // The kernel is asked again from where a short buffer ended.
  ReadBuffer large;
  large.reserve(1U << 20);
  ReadBuffer small;
  KernelFile one("/proc/cpuinfo");
  KernelFile other("/proc/cpuinfo");
  const auto a = one.read(large);
  if (!a) {
    GTEST_SKIP() << "no /proc/cpuinfo: " << error_text(a);
  }
  const auto b = other.read(small);
  ASSERT_TRUE(b);
  const auto lines = [](std::string_view text) {
    return std::count(text.begin(), text.end(), '\n');
  };
  EXPECT_EQ(lines(*a), lines(*b));
}

TEST(KernelFile, AProcessThatLeftIsMissing) {
  ReadBuffer buffer;
  int gate[2];
  ASSERT_EQ(::pipe(gate), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    ::close(gate[1]);
    char byte = 0;
    (void)!::read(gate[0], &byte, 1);
    ::_exit(0);
  }
  ::close(gate[0]);
  const std::size_t before = open_descriptors();
  KernelFile file("/proc/" + std::to_string(child) + "/stat");
  EXPECT_TRUE(file.read(buffer));
  ::close(gate[1]);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const auto text = file.read(buffer);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().errno_value, ESRCH) << "through the descriptor";
  EXPECT_EQ(kind_of(text.error()), ErrorKind::kMissing);
  EXPECT_EQ(file.read(buffer).error().errno_value, ENOENT) << "through the path again";
  EXPECT_EQ(open_descriptors(), before - 1) << "the gate's end is closed and nothing else is open";
}

TEST(KernelFile, FifoAndDirectoryInItsPlace) {
  const FixtureTree tree;
  ReadBuffer buffer;
  make_fifo(tree, "proc/fifo");
  tree.write("proc/dir/x", "");
  const std::size_t before = open_descriptors();
  KernelFile fifo(tree.path("proc/fifo"));
  KernelFile directory(tree.path("proc/dir"));
  EXPECT_FALSE(fifo.read(buffer));
  EXPECT_FALSE(directory.read(buffer));
  EXPECT_EQ(open_descriptors(), before);
}

// ReadBuffer

TEST(ReadBuffer, GrowsKeepsAndGivesBack) {
  ReadBuffer buffer;
  EXPECT_EQ(buffer.capacity(), 0U);
  std::memcpy(buffer.reserve(4), "abcd", 4);
  char* const data = buffer.reserve(3);
  EXPECT_EQ(buffer.capacity(), 4U);
  EXPECT_EQ(data, buffer.data());
  buffer.reserve(kMaxKernelFileBytes);
  EXPECT_EQ(std::string_view(buffer.data(), 4), "abcd");
  EXPECT_EQ(buffer.capacity(), kMaxKernelFileBytes);
  buffer.shrink();
  EXPECT_EQ(buffer.capacity(), 0U);
  EXPECT_EQ(buffer.data(), nullptr);
  buffer.reserve(100'000);
  buffer.shrink();
  EXPECT_EQ(buffer.capacity(), 100'000U) << "an ordinary size is kept";
}

// Directories, attributes, links

TEST(ListDirectory, SortedNames) {
  const FixtureTree tree;
  for (const char* name : {"sdb", "sda", ".hidden", "sda1"}) {
    tree.write(std::string("sys/block/") + name + "/x", "");
  }
  EXPECT_EQ(list_directory(tree.path("sys/block")),
            (std::vector<std::string>{".hidden", "sda", "sda1", "sdb"}));
  EXPECT_EQ(kind_of(list_directory(tree.path("sys/none")).error()), ErrorKind::kMissing);
  tree.write("sys/file", "");
  EXPECT_EQ(list_directory(tree.path("sys/file")).error().errno_value, ENOTDIR);
  make_fifo(tree, "sys/fifo");
  EXPECT_FALSE(list_directory(tree.path("sys/fifo")));
}

TEST(ReadAttribute, Trimmed) {
  const FixtureTree tree;
  tree.write("sys/x", "  performance \n");
  EXPECT_EQ(read_attribute(tree.path("sys/x")), "performance");
  tree.write("sys/x", "a\nb\n");
  EXPECT_EQ(read_attribute(tree.path("sys/x")), "a\nb");
  tree.write("sys/x", "");
  EXPECT_EQ(read_attribute(tree.path("sys/x")), "");
  tree.write("sys/x", std::string(64 * 1024 + 1, 'x'));
  EXPECT_EQ(kind_of(read_attribute(tree.path("sys/x")).error()), ErrorKind::kTooLarge);
  EXPECT_EQ(kind_of(read_attribute("/dev/zero").error()), ErrorKind::kTooLarge);
  EXPECT_EQ(kind_of(read_attribute(tree.path("sys/none")).error()), ErrorKind::kMissing);
  EXPECT_EQ(read_attribute(tree.path("sys")).error().errno_value, EISDIR);
}

TEST(ReadAttribute, AFifoIsNoEmptyAttribute) {
  const FixtureTree tree;
  make_fifo(tree, "sys/x");
  EXPECT_FALSE(read_attribute(tree.path("sys/x")));
}

TEST(ReadUnsignedAttribute, NumbersOnly) {
  const FixtureTree tree;
  tree.write("sys/x", "4096\n");
  EXPECT_EQ(read_unsigned_attribute(tree.path("sys/x")), 4096U);
  for (const char* text : {"", "\n", "-1\n", "x\n", "1 2\n", "18446744073709551616\n"}) {
    tree.write("sys/x", text);
    EXPECT_EQ(error_text(read_unsigned_attribute(tree.path("sys/x"))),
              "malformed: " + tree.path("sys/x") + " line 1: expected a number")
        << text;
  }
  EXPECT_EQ(kind_of(read_unsigned_attribute(tree.path("sys/none")).error()), ErrorKind::kMissing);
}

TEST(ReadLink, TargetOrError) {
  const FixtureTree tree;
  tree.link("sys/driver", "../../bus/nvme");
  EXPECT_EQ(read_link(tree.path("sys/driver")), "../../bus/nvme");
  tree.write("sys/file", "");
  EXPECT_EQ(read_link(tree.path("sys/file")).error().errno_value, EINVAL);
  EXPECT_EQ(kind_of(read_link(tree.path("sys/none")).error()), ErrorKind::kMissing);
}

// Errors

TEST(SystemError, KindOfEveryErrno) {
  const std::pair<int, ErrorKind> kTable[] = {
      {ENOENT, ErrorKind::kMissing},
      {ESRCH, ErrorKind::kMissing},
      {ENODEV, ErrorKind::kMissing},
      {ENXIO, ErrorKind::kMissing},
      {ENOTDIR, ErrorKind::kMissing},
      {EACCES, ErrorKind::kDenied},
      {EPERM, ErrorKind::kDenied},
      {EOPNOTSUPP, ErrorKind::kUnsupported},
      {ENOSYS, ErrorKind::kUnsupported},
      {ETIMEDOUT, ErrorKind::kTimeout},
      {EIO, ErrorKind::kIo},
      {EISDIR, ErrorKind::kIo},
  };
  for (const auto& [number, kind] : kTable) {
    const Error error = system_error(number, "file").value();
    EXPECT_EQ(error.kind, kind) << number;
    EXPECT_EQ(error.errno_value, number);
    EXPECT_EQ(error.where, "file");
  }
}

TEST(ErrorMessage, OneLine) {
  EXPECT_EQ(malformed("stat", 3, "a number").value().message(),
            "malformed: stat line 3: expected a number");
  EXPECT_EQ(malformed("stat", 0, "a number").value().message(),
            "malformed: stat: expected a number");
  EXPECT_EQ(system_error(EACCES, "/proc/1/io").value().message(),
            "denied: /proc/1/io: Permission denied");
  EXPECT_EQ((Error{ErrorKind::kTooLarge, 0, "x"}.message()), "too_large: x");
}

}  // namespace
}  // namespace tidegauge
