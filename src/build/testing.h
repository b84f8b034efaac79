// What the tests of build share: stores in a directory of their own with a busybox image, a runner that
// executes steps without a sandbox, and a sink that remembers.
#pragma once

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "build/builder.h"
#include "build/step_runner.h"
#include "io/event_loop.h"
#include "storage/bootstrap.h"
#include "storage/testing.h"
#include "sys/detached_overlay.h"

namespace berth::build::testing {

class Events : public ProgressSink {
 public:
  void report(const ProgressEvent& event) override {
    all.push_back(event);
    if (on_event) on_event(event);
  }
  template <class T>
  std::vector<T> of() const {
    std::vector<T> found;
    for (const auto& event : all) {
      if (const T* typed = std::get_if<T>(&event)) found.push_back(*typed);
    }
    return found;
  }
  size_t cached() const { return of<StepCached>().size(); }
  std::string log() const {
    std::string text;
    for (const auto& piece : of<StepLog>()) text += piece.bytes;
    return text;
  }
  std::vector<ProgressEvent> all;
  std::function<void(const ProgressEvent&)> on_event;
};

/// Calls a function on the merged root instead of starting anything.
class FakeRunner : public StepRunner {
 public:
  io::Task<Result<StepOutcome>> run(StepRequest request, StepOutput& output,
                                    io::CancelToken cancel) override {
    requests.push_back(request);
    if (!request.args.empty() && request.args.back() == "wait") {
      co_await cancel.wait();
      co_return Error(Kind::Cancelled, "build cancelled");
    }
    const auto& root = request.root;
    CO_TRY(const auto merged, sys::open_detached_overlay({root.lower, root.upper, root.work, root.options}));
    output.write(OutputStream::Stdout, "ran " + request.args.back() + "\n");
    co_return StepOutcome{.exit_code = program ? program(merged, request) : 0};
  }
  io::Task<Result<void>> recover() override { co_return Result<void>(); }
  std::vector<std::string> mount_targets() const override { return {"/proc", "/etc/resolv.conf"}; }

  std::function<int(const sys::RootDir& root, const StepRequest& request)> program;
  std::vector<StepRequest> requests;
};

class StringStream : public ContextStream {
 public:
  explicit StringStream(std::string bytes) : bytes_(std::move(bytes)) {}
  io::Task<Result<std::string>> next() override {
    std::string part = bytes_.substr(position_, 10000);
    position_ += part.size();
    co_return part;
  }

 private:
  std::string bytes_;
  size_t position_ = 0;
};

/// Stores below a directory, with "busybox" in them.
class BuildTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "layers are mounted, which needs root";
    auto database = storage::Database::open(directory_.path() + "/state.db");
    ASSERT_TRUE(database) << database.error().message();
    database_ = std::move(*database);
    auto content = storage::ContentStore::open(directory_.path() + "/content");
    ASSERT_TRUE(content) << content.error().message();
    content_ = std::make_unique<storage::ContentStore>(std::move(*content));
    auto snapshotter = storage::Snapshotter::open(*database_, *content_, directory_.path());
    ASSERT_TRUE(snapshotter) << snapshotter.error().message();
    snapshotter_ = std::move(*snapshotter);
    auto images = storage::ImageStore::open(*database_, *content_, *snapshotter_);
    ASSERT_TRUE(images) << images.error().message();
    images_ = std::move(*images);
    auto made = storage::bootstrap(*images_, "busybox", {.scratch_dir = directory_.path() + "/bootstrap"});
    if (!made) GTEST_SKIP() << made.error().message();
    source_ = std::make_unique<LocalImageSource>(*images_);
    open_builder();
  }
  void TearDown() override {
    if (builder_) finish_background();
    builder_.reset();
  }
  virtual StepRunner& runner() { return fake_; }

  void open_builder() {
    builder_.reset();
    BuilderServices services{.loop = loop_,
                             .database = *database_,
                             .images = *images_,
                             .image_source = *source_,
                             .runner = runner(),
                             .data_root = directory_.path(),
                             .in_use = [] { return storage::InUse(); }};
    auto opened = loop_.run_until_complete(Builder::open(std::move(services)));
    ASSERT_TRUE(opened) << opened.error().message();
    builder_ = std::move(*opened);
  }
  void finish_background() { loop_.run_until_complete(builder_->wait_until_idle()); }

  static BuildRequest request(const storage::TarBytes& context) {
    BuildRequest request;
    request.context = StreamContext{std::make_unique<StringStream>(context.finish())};
    return request;
  }
  static BuildRequest request(const std::string& dockerfile) {
    return request(storage::TarBytes().file("Dockerfile", dockerfile));
  }
  Result<BuildResult> build(BuildRequest request, io::CancelToken cancel = {}) {
    events_.all.clear();
    auto result = loop_.run_until_complete(builder_->build(std::move(request), events_, std::move(cancel)));
    finish_background();
    return result;
  }
  /// The image that comes of it, or a failed expectation.
  std::optional<storage::Image> built(BuildRequest request) {
    auto result = build(std::move(request));
    EXPECT_TRUE(result) << result.error().message() << "\n" << events_.log();
    if (!result) return std::nullopt;
    auto image = images_->get(result->image_id);
    EXPECT_TRUE(image) << image.error().message();
    return image ? std::optional(*image) : std::nullopt;
  }
  std::string problem(BuildRequest request) {
    auto result = build(std::move(request));
    return result ? "built" : result.error().message();
  }
  /// A file's content in an image.
  std::string read(const storage::Image& image, const std::string& path) {
    auto root = snapshotter_->view_chain(*image.chain_id);
    if (!root) return root.error().message();
    auto fd = root->open(path, O_RDONLY);
    if (!fd) return "error: " + fd.error().message();
    auto text = sys::read_fd(fd->get(), 1 << 20);
    return text ? *text : "error: " + text.error().message();
  }
  struct stat status(const storage::Image& image, const std::string& path) {
    auto root = snapshotter_->view_chain(*image.chain_id);
    auto found = root->stat(path, sys::Follow::No);
    EXPECT_TRUE(found) << path;
    return found ? *found : (struct stat){};
  }
  size_t layers(const storage::Image& image) { return image.config->diff_ids.size(); }
  /// Names left in a directory below the data root.
  std::vector<std::string> left_in(const std::string& path) {
    std::vector<std::string> names;
    auto entries = sys::list_dir(directory_.path() + path);
    if (!entries) return names;
    for (const auto& entry : *entries) names.push_back(entry.name);
    return names;
  }

  storage::TempDir directory_;
  io::EventLoop loop_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<storage::ContentStore> content_;
  std::unique_ptr<storage::Snapshotter> snapshotter_;
  std::unique_ptr<storage::ImageStore> images_;
  std::unique_ptr<LocalImageSource> source_;
  FakeRunner fake_;
  Events events_;
  std::unique_ptr<Builder> builder_;
};

}  // namespace berth::build::testing
