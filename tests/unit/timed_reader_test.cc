// SPDX-License-Identifier: Apache-2.0
#include "collectors/process/timed_reader.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "tests/unit/testing.h"

namespace tidegauge {
namespace {

constexpr std::int64_t kMillisecondNs = 1'000'000;
constexpr std::int64_t kLongNs = 20'000 * kMillisecondNs;  // no machine is that busy
constexpr std::size_t kBytes = 4096;

// A file that answers when the test says so.
class Gate {
 public:
  std::string pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return open_; });
    --waiting_;
    changed_.notify_all();
    return "late";
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait_for_waiting(int count) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::nanoseconds(kLongNs),
                             [&] { return waiting_ == count; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
};

// "gate" blocks, anything else is its own content.
TimedReader::Read through(const std::shared_ptr<Gate>& gate) {
  return [gate](const std::string& path, std::size_t) -> Result<std::string> {
    return path == "gate" ? gate->pass() : path;
  };
}

bool left_alone(const std::weak_ptr<Gate>& gate) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::nanoseconds(kLongNs);
  while (!gate.expired() && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  return gate.expired();
}

TEST(TimedReader, ReadsFiles) {
  const testing::FixtureTree tree;
  tree.write("proc/1/cmdline", std::string_view("a\0b\0", 4));
  tree.write("proc/1/empty", "");
  TimedReader reader;
  for (int i = 0; i < 3; ++i) {
    const auto text = reader.read(tree.path("proc/1/cmdline"), kBytes, kLongNs);
    ASSERT_TRUE(text) << testing::error_text(text);
    EXPECT_EQ(*text, std::string("a\0b\0", 4));
  }
  EXPECT_EQ(reader.read(tree.path("proc/1/cmdline"), 2, kLongNs).value(), std::string("a\0", 2));
  EXPECT_EQ(reader.read(tree.path("proc/1/cmdline"), 0, kLongNs).value(), "");
  EXPECT_EQ(reader.read(tree.path("proc/1/empty"), kBytes, kLongNs).value(), "");
}

TEST(TimedReader, Errors) {
  const testing::FixtureTree tree;
  tree.write("proc/1/directory/x", "");
  TimedReader reader;
  const auto missing = reader.read(tree.path("proc/1/none"), kBytes, kLongNs);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().kind, ErrorKind::kMissing);
  EXPECT_FALSE(reader.read(tree.path("proc/1/directory"), kBytes, kLongNs));
  EXPECT_EQ(reader.read("/proc/self/comm", kBytes, kLongNs).has_value(), true)
      << "an error is not the end of it";
}

// Neither with nobody at the other end nor with one who never writes.
TEST(TimedReader, AFifoDoesNotBlock) {
  const testing::FixtureTree tree;
  tree.write("proc/1/x", "");
  const std::string path = tree.path("proc/1/fifo");
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  TimedReader reader;
  EXPECT_EQ(reader.read(path, kBytes, kLongNs).value(), "");
  const int writer = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  ASSERT_GE(writer, 0);
  const auto text = reader.read(path, kBytes, kLongNs);
  ASSERT_FALSE(text);
  EXPECT_EQ(text.error().kind, ErrorKind::kIo) << text.error().message();
  ::close(writer);
}

TEST(TimedReader, ATimeoutIsNotTheNextReadsAnswer) {
  auto gate = std::make_shared<Gate>();
  TimedReader reader(through(gate));
  const auto late = reader.read("gate", kBytes, kMillisecondNs);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(late.error().where, "gate does not answer");
  EXPECT_EQ(reader.read("quick", kBytes, kLongNs).value(), "quick");
  gate->open();
  EXPECT_EQ(reader.read("again", kBytes, kLongNs).value(), "again");
}

TEST(TimedReader, FailsAtOnceWhenTooManyAreStuck) {
  auto gate = std::make_shared<Gate>();
  {
    TimedReader reader(through(gate));
    for (int i = 0; i < TimedReader::kMaxStuck; ++i) {
      EXPECT_FALSE(reader.read("gate", kBytes, kMillisecondNs));
    }
    ASSERT_TRUE(gate->wait_for_waiting(TimedReader::kMaxStuck));
    const auto start = std::chrono::steady_clock::now();
    const auto refused = reader.read("quick", kBytes, kLongNs);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().kind, ErrorKind::kTimeout);
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::nanoseconds(kLongNs) / 2);
    gate->open();
    ASSERT_TRUE(gate->wait_for_waiting(0));
    // They are counted off just after they came back.
    Result<std::string> text = reader.read("quick", kBytes, kLongNs);
    const auto deadline = start + std::chrono::nanoseconds(kLongNs);
    while (!text && std::chrono::steady_clock::now() < deadline) {
      std::this_thread::yield();
      text = reader.read("quick", kBytes, kLongNs);
    }
    EXPECT_EQ(text.value_or(""), "quick");
  }
  const std::weak_ptr<Gate> threads_hold = gate;
  gate.reset();
  EXPECT_TRUE(left_alone(threads_hold)) << "a thread is still there";
}

// The reader goes first: who is stuck needs nothing of it.
TEST(TimedReader, StuckThreadsOutliveTheReader) {
  auto gate = std::make_shared<Gate>();
  {
    TimedReader reader(through(gate));
    EXPECT_FALSE(reader.read("gate", kBytes, kMillisecondNs));
    ASSERT_TRUE(gate->wait_for_waiting(1));
  }
  gate->open();
  const std::weak_ptr<Gate> threads_hold = gate;
  gate.reset();
  EXPECT_TRUE(left_alone(threads_hold));
}

TEST(TimedReader, NothingIsStartedBeforeItIsNeeded) {
  auto gate = std::make_shared<Gate>();
  const TimedReader idle(through(gate));
  EXPECT_EQ(gate.use_count(), 2);
}

}  // namespace
}  // namespace tidegauge
