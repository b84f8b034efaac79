// The solver with a made-up executor, and the cache's records.
#include "build/solver.h"

#include <gtest/gtest.h>

#include <future>

#include "base/sha256.h"
#include "build/index_tree.h"
#include "io/task_group.h"
#include "storage/testing.h"

namespace berth::build {
namespace {

class MemoryChains : public ChainHolder {
 public:
  bool exists(const Digest& chain_id) const override {
    if (when_asked) when_asked();
    return !lost.contains(chain_id);
  }
  void hold(const std::set<Digest>& chains) override { held = chains; }
  void add(const Digest& chain_id) override { held.insert(chain_id); }
  std::set<Digest> lost;
  std::set<Digest> held;
  std::function<void()> when_asked;
};

/// "Executes" by hashing; counts, fails or waits where it is told to.
class FakeExecutor : public VertexExecutor {
 public:
  io::Task<Result<VertexResult>> open_source(const Vertex& vertex, io::CancelToken) override {
    if (std::holds_alternative<ContextOp>(vertex.op)) {
      co_return VertexResult(std::shared_ptr<const FileTree>(IndexTree::from_text("f", context, 0644)));
    }
    const auto* image = std::get_if<ImageOp>(&vertex.op);
    co_return VertexResult(RootState{.chain_id = image ? image->chain_id : std::nullopt});
  }
  io::Task<Result<VertexReads>> read_digests(const VertexInputs& inputs, io::CancelToken) override {
    VertexReads reads;
    for (const auto& input : inputs.inputs) {
      if (const auto* tree = std::get_if<std::shared_ptr<const FileTree>>(&input)) {
        CO_TRY(auto digest, (*tree)->content_digest("/f"));
        reads.digests.push_back(std::move(digest));
      } else {
        reads.digests.push_back(std::get<RootState>(input).chain_id.value_or(sha256("")));
      }
    }
    co_return reads;
  }
  io::Task<Result<RootState>> execute(const VertexInputs& inputs, io::CancelToken cancel) override {
    const auto* run = std::get_if<RunOp>(&inputs.vertex.op);
    const std::string name = run ? run->args.at(0) : "copy";
    executed.push_back(name);
    most_running = std::max(most_running, ++running);
    co_await io::EventLoop::current()->yield();
    if (name.starts_with("wait")) co_await cancel.wait();
    --running;
    if (cancel.cancelled()) {
      cancelled.push_back(name);
      co_return Error(Kind::Cancelled, "cancelled");
    }
    if (name == "fail") co_return Error(Kind::InvalidArgument, "it failed");
    const std::string base = inputs.base.chain_id ? inputs.base.chain_id->hex() : "";
    co_return RootState{
        .chain_id = sha256(base + name + std::to_string(++layers)), .made_layer = true, .created = now()};
  }

  std::string context = "content";
  std::vector<std::string> executed;
  std::vector<std::string> cancelled;
  int running = 0;
  int most_running = 0;
  int layers = 0;
};

class Recorder : public SolverObserver {
 public:
  void started(VertexId) override {}
  void cached(VertexId id) override { hits.push_back(id); }
  void completed(VertexId) override { ++done; }
  void failed(VertexId id, const Error& error) override { failures.push_back({id, error.message()}); }
  std::vector<VertexId> hits;
  int done = 0;
  std::vector<std::pair<VertexId, std::string>> failures;
};

/// What another engine has made.
class Elsewhere : public CacheSource {
 public:
  io::Task<std::optional<StepRecord>> find(Digest key, io::CancelToken) override {
    asked.push_back(key);
    auto record = records.find(key);
    if (record == records.end()) co_return std::optional<StepRecord>();
    co_return std::optional<StepRecord>(record->second);
  }
  std::map<Digest, StepRecord> records;
  std::vector<Digest> asked;
};

class Solving : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = storage::Database::open(directory_.path() + "/state.db");
    ASSERT_TRUE(opened) << opened.error().message();
    database_ = std::move(*opened);
    reopen();
  }
  void reopen() {
    cache_.reset();
    auto cache = Cache::open(*database_, chains_);
    ASSERT_TRUE(cache) << cache.error().message();
    cache_ = std::move(*cache);
  }
  VertexId image(const std::string& name = "base") {
    return graph_.add({.op = ImageOp{name, sha256(name), sha256("chain of " + name)}});
  }
  VertexId run(VertexId base, const std::string& name, std::vector<VertexId> inputs = {}) {
    return graph_.add(
        {.op = RunOp{.args = {name}}, .base = base, .inputs = std::move(inputs), .caching = caching_});
  }
  VertexId copy(VertexId base, VertexId from) {
    return graph_.add({.op = CopyOp{.sources = {{.path = "/f"}}, .destination = "/x"},
                       .base = base,
                       .inputs = {from},
                       .caching = caching_});
  }
  Result<void> solve(VertexId target, io::CancelToken cancel = {}) {
    recorder_ = {};
    executor_.executed.clear();
    solver_ = std::make_unique<Solver>(
        graph_, executor_, *cache_, recorder_,
        Solver::Options{.max_parallel = 2, .elsewhere = elsewhere_, .may_use = may_use_});
    auto solved = loop_.run_until_complete(solver_->solve({target}, std::move(cancel)));
    EXPECT_TRUE(cache_->flush());
    return solved;
  }

  storage::TempDir directory_;
  io::EventLoop loop_;
  MemoryChains chains_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<Cache> cache_;
  Graph graph_;
  Caching caching_ = Caching::Normal;
  FakeExecutor executor_;
  Recorder recorder_;
  CacheSource* elsewhere_ = nullptr;
  std::function<bool(VertexId, const RootState&)> may_use_ = {};
  std::unique_ptr<Solver> solver_;
};

using Names = std::vector<std::string>;

TEST_F(Solving, ExecutesOnceAndThenFindsEverything) {
  const auto target = run(run(image(), "one"), "two");
  ASSERT_TRUE(solve(target));
  EXPECT_EQ(executor_.executed, (Names{"one", "two"}));
  const auto first = std::get<RootState>(solver_->result(target));
  ASSERT_TRUE(solve(target));
  EXPECT_TRUE(executor_.executed.empty());
  EXPECT_EQ(recorder_.hits.size(), 2u);
  const auto second = std::get<RootState>(solver_->result(target));
  EXPECT_EQ(second.chain_id, first.chain_id);
  EXPECT_EQ(to_unix_nanoseconds(second.created), to_unix_nanoseconds(first.created));
  EXPECT_TRUE(second.was_cached);
}

TEST_F(Solving, UsesOnlyWhatItMay) {
  const auto first = run(image(), "one");
  const auto second = run(first, "two");
  ASSERT_TRUE(solve(second));
  may_use_ = [&](VertexId id, const RootState& remembered) {
    EXPECT_TRUE(remembered.chain_id);
    return id == first;
  };
  ASSERT_TRUE(solve(second));
  EXPECT_EQ(executor_.executed, Names{"two"});
}

TEST_F(Solving, WhatIsTheSameIsExecutedOnce) {
  const auto base = image();
  const auto one = run(base, "same");
  const auto two = run(base, "same");
  const auto both = run(one, "both", {two});
  // Neither what was known before nor what may be used decides over what this build has made.
  may_use_ = [](VertexId, const RootState&) { return false; };
  ASSERT_TRUE(solve(both));
  EXPECT_EQ(executor_.executed, (Names{"same", "both"}));
  EXPECT_EQ(recorder_.hits.size(), 1u);
  EXPECT_EQ(std::get<RootState>(solver_->result(one)).chain_id,
            std::get<RootState>(solver_->result(two)).chain_id);
}

TEST_F(Solving, SurvivesTheDaemon) {
  const auto target = run(image(), "one");
  ASSERT_TRUE(solve(target));
  reopen();
  ASSERT_TRUE(solve(target));
  EXPECT_TRUE(executor_.executed.empty());
  EXPECT_FALSE(chains_.held.empty());
}

TEST_F(Solving, GoesByContent) {
  const auto context = graph_.add({.op = ContextOp{}});
  const auto target = run(copy(image(), context), "after");
  ASSERT_TRUE(solve(target));
  executor_.context = "content";
  ASSERT_TRUE(solve(target));
  EXPECT_TRUE(executor_.executed.empty());
  executor_.context = "changed";
  ASSERT_TRUE(solve(target));
  EXPECT_EQ(executor_.executed, (Names{"copy", "after"})) << "what comes after is built on other content";
  executor_.context = "content";
  ASSERT_TRUE(solve(target));
  EXPECT_TRUE(executor_.executed.empty()) << "the older content is still known";
}

TEST_F(Solving, LeavesOutWhatIsNotNeeded) {
  const auto base = image();
  run(base, "unused");
  ASSERT_TRUE(solve(run(base, "used")));
  EXPECT_EQ(executor_.executed, (Names{"used"}));
}

TEST_F(Solving, EvaluatesSharedVerticesOnceAndOthersAtOnce) {
  const auto base = run(image(), "shared");
  const auto left = run(base, "left");
  const auto right = run(base, "right");
  ASSERT_TRUE(solve(run(left, "join", {right})));
  EXPECT_EQ(std::count(executor_.executed.begin(), executor_.executed.end(), "shared"), 1);
  EXPECT_EQ(executor_.executed.size(), 4u);
  EXPECT_EQ(executor_.most_running, 2);
}

TEST_F(Solving, IgnoresTheCacheWhenTold) {
  caching_ = Caching::Ignore;
  const auto target = run(image(), "one");
  ASSERT_TRUE(solve(target));
  ASSERT_TRUE(solve(target));
  EXPECT_EQ(executor_.executed, (Names{"one"}));
}

TEST_F(Solving, ExecutesAgainWhatTheStoreHasLost) {
  const auto target = run(image(), "one");
  ASSERT_TRUE(solve(target));
  chains_.lost.insert(*std::get<RootState>(solver_->result(target)).chain_id);
  ASSERT_TRUE(solve(target));
  EXPECT_EQ(executor_.executed, (Names{"one"}));
}

TEST_F(Solving, EndsEverythingAtTheFirstFailure) {
  const auto base = image();
  const auto failing = run(base, "fail");
  const auto waiting = run(base, "wait");
  const auto target = run(run(failing, "never", {waiting}), "never either");
  const auto solved = solve(target);
  ASSERT_FALSE(solved);
  EXPECT_EQ(solved.error().message(), "it failed");
  ASSERT_EQ(recorder_.failures.size(), 1u);
  EXPECT_EQ(recorder_.failures[0].first, failing);
  EXPECT_EQ(executor_.cancelled, (Names{"wait"}));
  EXPECT_EQ(executor_.running, 0) << "solve() returns when nothing is under way any more";
  EXPECT_EQ(executor_.executed, (Names{"fail", "wait"}));
}

io::Task<void> cancel_soon(io::CancelSource& source) {
  co_await io::EventLoop::current()->yield();
  co_await io::EventLoop::current()->yield();
  source.cancel();
}

TEST_F(Solving, CanBeCancelled) {
  io::CancelSource source;
  loop_.spawn(cancel_soon(source));
  const auto solved = solve(run(image(), "wait for ever"), source.token());
  ASSERT_FALSE(solved);
  EXPECT_EQ(solved.error().kind(), Kind::Cancelled);
  EXPECT_EQ(executor_.cancelled, (Names{"wait for ever"}));
}

TEST_F(Solving, HoldsTenThousandSteps) {
  VertexId last = image();
  for (int i = 0; i < 10000; ++i) last = run(last, "s" + std::to_string(i));
  ASSERT_TRUE(solve(last));
  EXPECT_EQ(executor_.executed.size(), 10000u);
}

TEST_F(Solving, KeepsDownloadsContentsAndMounts) {
  const Digest content = sha256("body");
  ASSERT_TRUE(cache_->store_download(
      {.url = "http://x/y", .content = content, .etag = "\"e\"", .mtime = 7, .size = 4, .created = now()}));
  auto found = cache_->find_download("http://x/y");
  ASSERT_TRUE(found && *found);
  EXPECT_EQ((*found)->etag, "\"e\"");
  EXPECT_EQ((*found)->mtime, 7);
  auto same = cache_->find_download_by_content(content);
  ASSERT_TRUE(same && *same);
  EXPECT_EQ((*same)->url, "http://x/y");
  ASSERT_TRUE(cache_->remove_download("http://x/y"));
  EXPECT_FALSE(*cache_->find_download("http://x/y"));
  ASSERT_TRUE(cache_->store_content(sha256("chain"), sha256("selection"), content));
  EXPECT_EQ(**cache_->find_content(sha256("chain"), sha256("selection")), content);
  EXPECT_FALSE(*cache_->find_content(sha256("chain"), sha256("other")));
  ASSERT_TRUE(cache_->use_mount("ab", "cache mount /c"));
  ASSERT_TRUE(cache_->use_mount("ab", "cache mount /c"));
  auto mounts = cache_->mounts();
  ASSERT_TRUE(mounts);
  ASSERT_EQ(mounts->size(), 1u);
  EXPECT_EQ((*mounts)[0].use_count, 2u);
}

TEST_F(Solving, AsksForChainsWithoutHoldingTheDatabase) {
  const StepRecord record{.key = sha256("key"), .chain_id = sha256("chain"), .created = now()};
  ASSERT_TRUE(cache_->store(record));
  bool was_free = false;
  std::future<void> writer;
  chains_.when_asked = [&] {
    // Whoever makes a layer meanwhile, with the table of chains locked.
    writer = std::async(std::launch::async, [&] { (void)database_->execute("SELECT 1"); });
    was_free = writer.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  };
  ASSERT_TRUE(cache_->find(record.key));
  EXPECT_TRUE(was_free);
}

TEST_F(Solving, ForgetsRecordsAndLetsGoOfTheirChains) {
  const auto target = run(image(), "one");
  ASSERT_TRUE(solve(target));
  EXPECT_EQ(chains_.held.size(), 1u);
  auto records = cache_->records();
  ASSERT_TRUE(records);
  ASSERT_TRUE(cache_->remove_records({(*records)[0].key}));
  EXPECT_TRUE(chains_.held.empty());
  ASSERT_TRUE(solve(target));
  EXPECT_EQ(executor_.executed, (Names{"one"}));
}

TEST_F(Solving, WhatWasMadeElsewhereIsNotMadeAgain) {
  const VertexId first = run(image(), "one");
  const VertexId second = run(first, "two");
  ASSERT_TRUE(solve(second));
  Elsewhere elsewhere;
  auto records = cache_->records();
  ASSERT_TRUE(records);
  ASSERT_EQ(records->size(), 2u);
  for (const StepRecord& record : *records) elsewhere.records.emplace(record.key, record);
  const auto made = std::get<RootState>(solver_->result(second)).chain_id;
  ASSERT_TRUE(cache_->remove_records({(*records)[0].key, (*records)[1].key}));
  elsewhere_ = &elsewhere;
  ASSERT_TRUE(solve(second));
  EXPECT_TRUE(executor_.executed.empty());
  EXPECT_EQ(recorder_.hits.size(), 2u);
  EXPECT_EQ(std::get<RootState>(solver_->result(second)).chain_id, made);
  // Now it is here as well, and nobody is asked.
  elsewhere.asked.clear();
  ASSERT_TRUE(solve(second));
  EXPECT_TRUE(elsewhere.asked.empty());
  EXPECT_TRUE(executor_.executed.empty());
}

TEST_F(Solving, NobodyIsAskedWhenTheCacheIsIgnored) {
  caching_ = Caching::Ignore;
  Elsewhere elsewhere;
  elsewhere_ = &elsewhere;
  ASSERT_TRUE(solve(run(image(), "one")));
  EXPECT_TRUE(elsewhere.asked.empty());
  EXPECT_EQ(executor_.executed.size(), 1u);
}

}  // namespace
}  // namespace berth::build
