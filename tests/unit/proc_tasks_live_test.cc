// SPDX-License-Identifier: Apache-2.0
// This machine's /proc, with children of this test.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <latch>
#include <map>
#include <memory>
#include <new>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "collectors/process/pid_io.h"
#include "collectors/process/proc_tasks.h"
#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

using testing::error_text;

// A child that does one thing per byte it is sent, and answers each with one.
class Child {
 public:
  template <class Work>
  explicit Child(Work work) {
    if (::pipe2(orders_.data(), O_CLOEXEC) != 0 || ::pipe2(answers_.data(), O_CLOEXEC) != 0) {
      std::abort();
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(orders_[1]);
      char order = 0;
      while (::read(orders_[0], &order, 1) == 1) {
        work(order);
        if (::write(answers_[1], &order, 1) != 1) {
          break;
        }
      }
      ::_exit(0);
    }
    ::close(answers_[1]);
  }
  ~Child() {
    reap();
    ::close(orders_[0]);
    ::close(answers_[0]);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void order(char what) const {
    char answer = 0;
    ASSERT_EQ(::write(orders_[1], &what, 1), 1);
    ASSERT_EQ(::read(answers_[0], &answer, 1), 1);
  }
  void reap() {
    if (pid_ > 0) {
      ::close(orders_[1]);
      ::waitpid(pid_, nullptr, 0);
      pid_ = -1;
    }
  }
  [[nodiscard]] std::uint32_t pid() const { return static_cast<std::uint32_t>(pid_); }

 private:
  pid_t pid_ = -1;
  std::array<int, 2> orders_{};
  std::array<int, 2> answers_{};
};

// A file on a disk, or none where this runs on a tmpfs.
class DiskFile {
 public:
  DiskFile() {
    for (const std::string folder : {".", "/var/tmp"}) {
      struct statfs info {};
      if (::statfs(folder.c_str(), &info) != 0 || info.f_type == TMPFS_MAGIC) {
        continue;
      }
      std::string name = folder + "/tidegauge-test-XXXXXX";
      fd_ = ::mkstemp(name.data());
      if (fd_ >= 0) {
        ::unlink(name.c_str());
        return;
      }
    }
  }
  ~DiskFile() {
    if (fd_ >= 0) {
      ::close(fd_);
    }
  }
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;
  [[nodiscard]] bool valid() const { return fd_ >= 0; }
  void append(std::size_t bytes) const {
    const std::vector<char> data(bytes, 'x');
    if (::write(fd_, data.data(), bytes) != static_cast<ssize_t>(bytes) || ::fsync(fd_) != 0) {
      std::abort();
    }
  }

 private:
  int fd_ = -1;
};

class Passes {
 public:
  Passes() : source_(make_proc_tasks(KernelFiles(KernelRoots{}))) {}

  const TaskPass& pass() {
    out_.clear();
    CollectContext context{.realtime_ns = 0, .boottime_ns = 0, .buffer = &buffer_};
    const auto done = source_->pass(context, out_);
    EXPECT_TRUE(done) << error_text(done);
    return out_;
  }
  [[nodiscard]] const TaskPass& last() const { return out_; }
  [[nodiscard]] const ProcessSample* find(std::uint32_t pid) const {
    for (const ProcessSample& sample : out_.processes) {
      if (sample.key.pid == pid) {
        return &sample;
      }
    }
    return nullptr;
  }
  [[nodiscard]] std::uint64_t written(std::uint32_t pid) const {
    const ProcessSample* sample = find(pid);
    return sample == nullptr ? 0 : sample->counters[TaskCounter::kStorageWriteBytes];
  }

 private:
  std::unique_ptr<TaskSource> source_;
  ReadBuffer buffer_;
  TaskPass out_;
};

std::uint64_t raw_written(std::uint32_t pid) {
  ReadBuffer buffer;
  const auto text = read_file("/proc/" + std::to_string(pid) + "/io", buffer);
  const auto io = text ? parse_pid_io(*text) : tl::make_unexpected(text.error());
  return io ? io->storage_write_bytes : 0;
}

TEST(ProcTasksLive, SumsOverAReapedChildAreExact) {
  const DiskFile file;
  if (!file.valid()) {
    GTEST_SKIP() << "no file system on a disk here";
  }
  constexpr std::size_t kChunk = 1U << 20U;
  const auto self = static_cast<std::uint32_t>(::getpid());
  if (raw_written(self) == 0) {
    file.append(kChunk);
    if (raw_written(self) == 0) {
      GTEST_SKIP() << "writes to this file system are not counted in /proc/self/io";
    }
  }
  Child child([&](char) { file.append(kChunk); });
  Passes passes;
  passes.pass();
  const std::uint64_t before = passes.written(self);
  EXPECT_EQ(before, raw_written(self));

  child.order('w');
  passes.pass();
  ASSERT_NE(passes.find(child.pid()), nullptr);
  const std::uint64_t seen = passes.written(child.pid());
  EXPECT_EQ(seen, raw_written(child.pid()));
  EXPECT_GE(seen, kChunk);
  EXPECT_EQ(passes.written(self), before);

  child.order('w');  // after its last sight: becomes the parent's
  const std::uint64_t last = raw_written(child.pid());
  file.append(kChunk);  // the parent's own
  const std::uint32_t pid = child.pid();
  child.reap();
  const std::uint64_t lost = passes.pass().lost_exits;
  const ProcessSample* gone = passes.find(pid);
  ASSERT_NE(gone, nullptr);
  EXPECT_FALSE(gone->alive);
  EXPECT_EQ(passes.written(pid), seen);
  EXPECT_EQ(passes.written(self) + seen, raw_written(self));
  EXPECT_GE(passes.written(self), before + kChunk + (last - seen));
  EXPECT_EQ(lost, 0U);

  passes.pass();
  EXPECT_EQ(passes.find(pid), nullptr);
  EXPECT_EQ(passes.written(self) + seen, raw_written(self));
}

// What a family and who watches it tell each other.
class Pace {
 public:
  Pace() {
    void* const shared = ::mmap(nullptr, sizeof(std::atomic<std::uint64_t>), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || ::pipe2(waiting_.data(), O_CLOEXEC | O_NONBLOCK) != 0 ||
        ::pipe2(seen_.data(), O_CLOEXEC) != 0) {
      std::abort();
    }
    begun_ = new (shared) std::atomic<std::uint64_t>(0);
  }
  ~Pace() {
    ::munmap(begun_, sizeof(std::atomic<std::uint64_t>));
    for (const int fd : {waiting_[0], waiting_[1], seen_[0], seen_[1]}) {
      ::close(fd);
    }
  }
  Pace(const Pace&) = delete;
  Pace& operator=(const Pace&) = delete;

  // In the family.
  void append(const DiskFile& file, std::size_t bytes) const {
    begun_->fetch_add(bytes);
    file.append(bytes);
  }
  void wait_for_a_pass() const {
    char byte = 0;
    if (::write(waiting_[1], "w", 1) != 1 || ::read(seen_[0], &byte, 1) != 1) {
      std::abort();
    }
  }

  // No less than was written so far.
  [[nodiscard]] std::uint64_t begun() const { return begun_->load(); }
  // Runs a pass; who waited before it goes on after it.
  template <class Pass>
  void let_pass(const Pass& pass) const {
    std::array<char, 64> waited{};
    const ssize_t count = ::read(waiting_[0], waited.data(), waited.size());
    pass();
    if (count > 0) {
      ASSERT_EQ(::write(seen_[1], waited.data(), static_cast<std::size_t>(count)), count);
    }
  }

 private:
  std::atomic<std::uint64_t>* begun_ = nullptr;
  std::array<int, 2> waiting_{};
  std::array<int, 2> seen_{};
};

// Runs `children` processes one after the other, two at a time, some with a child of their own; all
// write and are waited for. A few live until a pass has seen them, for the others it is chance.
void spawn(const DiskFile& file, const Pace& pace, int children) {
  for (int i = 0; i < children; i += 2) {
    for (int j = i; j < i + 2; ++j) {
      if (::fork() == 0) {
        if (j % 3 == 0 && ::fork() == 0) {
          pace.append(file, 4096 * (1 + static_cast<std::size_t>(j) % 5));
          if (j % 30 == 0) {
            pace.wait_for_a_pass();
          }
          ::_exit(0);
        }
        pace.append(file, 4096 * (1 + static_cast<std::size_t>(j) % 7));
        if (j % 20 == 0) {
          pace.wait_for_a_pass();
        }
        while (::wait(nullptr) > 0) {
        }
        pace.append(file, 4096);
        ::_exit(0);
      }
    }
    while (::wait(nullptr) > 0) {
    }
  }
}

TEST(ProcTasksLive, SumsOverManyShortLivedChildrenAreExact) {
  const DiskFile file;
  if (!file.valid()) {
    GTEST_SKIP() << "no file system on a disk here";
  }
  std::array<int, 2> done{};
  ASSERT_EQ(::pipe2(done.data(), O_CLOEXEC | O_NONBLOCK), 0);
  const Pace pace;
  Child family([&](char) {
    spawn(file, pace, 120);
    if (::write(done[1], "x", 1) != 1) {
      std::abort();
    }
  });
  Passes passes;
  passes.pass();
  std::jthread boss([&] { family.order('s'); });
  // Last published counter of every process of the family, by identity.
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::uint64_t> written;
  std::set<std::uint32_t> members{family.pid()};
  const auto sum = [&] {
    return std::accumulate(written.begin(), written.end(), std::uint64_t{0},
                           [](std::uint64_t all, const auto& one) { return all + one.second; });
  };
  char byte = 0;
  std::size_t ended = 0;
  std::uint64_t most_too_much = 0;
  for (int after = 0; after < 2;) {
    after += after != 0 || ::read(done[0], &byte, 1) == 1 ? 1 : 0;
    pace.let_pass([&] { passes.pass(); });
    for (const ProcessSample& sample : passes.last().processes) {
      if (members.contains(sample.parent_pid) || sample.key.pid == family.pid()) {
        members.insert(sample.key.pid);
        written[{sample.key.pid, sample.key.start_ns}] =
            sample.counters[TaskCounter::kStorageWriteBytes];
        ended += sample.alive ? 0 : 1;
      }
    }
    const std::uint64_t begun = pace.begun();
    most_too_much = std::max(most_too_much, sum() > begun ? sum() - begun : 0);
  }
  const std::uint64_t truth = raw_written(family.pid());
  if (truth == 0) {
    GTEST_SKIP() << "writes to this file system are not counted in /proc/self/io";
  }
  EXPECT_EQ(sum(), truth);
  // Some file systems charge their own blocks as well.
  EXPECT_LE(most_too_much, truth - std::min(truth, pace.begun())) << "counted twice for a while";
  EXPECT_GT(ended, 0U) << "nobody was seen alive: this tells nothing";
  ::close(done[0]);
  ::close(done[1]);
}

TEST(ProcTasksLive, ThisProcess) {
  std::latch started(2);
  std::latch end(1);
  std::vector<std::jthread> threads;
  threads.reserve(2);
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      started.count_down();
      end.wait();
    });
  }
  started.wait();
  Passes passes;
  const TaskPass& out = passes.pass();
  end.count_down();
  const ProcessSample* self = passes.find(static_cast<std::uint32_t>(::getpid()));
  ASSERT_NE(self, nullptr);
  EXPECT_EQ(self->uid, ::getuid());
  EXPECT_EQ(self->parent_pid, static_cast<std::uint32_t>(::getppid()));
  EXPECT_EQ(self->gauges[TaskGauge::kThreads], 4U) << "these, and the one that reads";
  EXPECT_GT(self->gauges[TaskGauge::kAnonBytes], 0U);
  EXPECT_GT(self->counters[TaskCounter::kMinorFaults], 0U);
  EXPECT_GT(self->counters[TaskCounter::kVoluntarySwitches], 0U);
  EXPECT_GE(out.threads, out.processes.size());
}

// What a daemon without capabilities sees of another user's process.
TEST(ProcTasksLive, WithoutPrivilegesTheIoOfOthersIsAbsent) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can become somebody else";
  }
  std::array<int, 2> answer{};
  ASSERT_EQ(::pipe2(answer.data(), O_CLOEXEC), 0);
  const auto parent = static_cast<std::uint32_t>(::getpid());
  const pid_t child = ::fork();
  if (child == 0) {
    constexpr uid_t kNobody = 65534;
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) {
      ::_exit(1);
    }
    Passes passes;
    std::string said;
    for (const MissingField& missing : passes.pass().missing) {
      if (missing.field == "io") {
        said = missing.reason;
      }
    }
    const ProcessSample* other = passes.find(parent);
    said += other != nullptr && !other->counters.present(TaskCounter::kStorageWriteBytes) &&
                    other->counters.present(TaskCounter::kUserNs) && other->uid == 0
                ? " absent"
                : " wrong";
    const bool told = ::write(answer[1], said.data(), said.size()) > 0;
    ::_exit(told ? 0 : 1);
  }
  ::close(answer[1]);
  std::array<char, 512> text{};
  const ssize_t got = ::read(answer[0], text.data(), text.size());
  ::close(answer[0]);
  ::waitpid(child, nullptr, 0);
  ASSERT_GT(got, 0);
  const std::string said(text.data(), static_cast<std::size_t>(got));
  EXPECT_NE(said.find("CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH"), std::string::npos) << said;
  EXPECT_TRUE(said.ends_with(" absent")) << said;
}

}  // namespace
}  // namespace tidegauge
