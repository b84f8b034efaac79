// Whole builds, with steps that are executed by a stand-in: contexts, cache, stages, failures, pruning.
#include "build/builder.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "build/testing.h"
#include "io/http_server.h"

namespace berth::build {
namespace {

using storage::TarBytes;
using testing::BuildTest;
using List = std::vector<std::string>;

class Building : public BuildTest {
 protected:
  static void put(const sys::RootDir& root, const std::string& path, std::string_view text) {
    auto fd = root.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ASSERT_TRUE(fd) << fd.error().message();
    ASSERT_TRUE(sys::write_all(fd->get(), text));
  }
};

constexpr const char* application =
    "FROM busybox\nARG V=1\nENV E=$V\nWORKDIR /srv\nCOPY app /srv/\nRUN make\nLABEL l=v\nEXPOSE 80\nCMD "
    "[\"run\"]\n";

TarBytes application_context(int64_t mtime = 1000, const std::string& text = "program") {
  return TarBytes()
      .file("Dockerfile", application)
      .add({.name = "app/main", .content = text, .mode = 0755, .mtime = mtime})
      .file("other", "x");
}

TEST_F(Building, MakesAnImage) {
  fake_.program = [](const sys::RootDir& root, const StepRequest&) {
    put(root, "/made", "by the step");
    return 0;
  };
  auto request = this->request(application_context());
  request.tags = {"app", "app:two"};
  request.build_args["V"] = "7";
  request.labels["from"] = "test";
  const auto image = built(std::move(request));
  ASSERT_TRUE(image);
  EXPECT_EQ(image->repo_tags, (List{"app:latest", "app:two"}));
  EXPECT_EQ(image->config->config.working_dir, "/srv");
  EXPECT_EQ(image->config->config.cmd, (List{"run"}));
  EXPECT_EQ(image->config->config.labels, (std::map<std::string, std::string>{{"l", "v"}, {"from", "test"}}));
  EXPECT_EQ(read(*image, "/srv/main"), "program");
  EXPECT_EQ(read(*image, "/made"), "by the step");
  EXPECT_EQ(layers(*image), 4u) << "base, WORKDIR, COPY, RUN";
  const auto& history = image->config->history;
  size_t with_layer = 0;
  for (const auto& entry : history) with_layer += !entry.empty_layer;
  EXPECT_EQ(with_layer, 4u);
  EXPECT_EQ(history.back().created_by, "CMD [\"run\"]");
  EXPECT_TRUE(history.back().empty_layer);
  ASSERT_EQ(fake_.requests.size(), 1u);
  EXPECT_EQ(fake_.requests[0].args, (List{"/bin/sh", "-c", "make"}));
  EXPECT_EQ(fake_.requests[0].cwd, "/srv");
  EXPECT_NE(std::find(fake_.requests[0].env.begin(), fake_.requests[0].env.end(), "V=7"),
            fake_.requests[0].env.end());
}

TEST_F(Building, TellsStepsInOrder) {
  ASSERT_TRUE(built(request(application_context())));
  const auto started = events_.of<StepStarted>();
  ASSERT_EQ(started.size(), 9u);
  for (size_t i = 0; i < started.size(); ++i) {
    EXPECT_EQ(started[i].step, i + 1);
    EXPECT_EQ(started[i].total, 9u);
  }
  EXPECT_EQ(started[0].instruction, "FROM busybox");
  EXPECT_EQ(started[5].instruction, "RUN make");
  EXPECT_EQ(started[5].lines.first, 6u);
  EXPECT_EQ(events_.of<StepCompleted>().size(), 9u);
  EXPECT_EQ(events_.log(), "ran make\n");
  EXPECT_EQ(events_.of<StepCompleted>().back().id, events_.of<ImageBuilt>()[0].id.hex());
}

TEST_F(Building, FindsEverythingAgain) {
  const auto first = built(request(application_context(1000)));
  ASSERT_TRUE(first);
  const auto second = built(request(application_context(2000)));
  ASSERT_TRUE(second);
  EXPECT_EQ(events_.cached(), 3u) << "WORKDIR, COPY, RUN";
  EXPECT_EQ(fake_.requests.size(), 1u);
  EXPECT_EQ(second->id, first->id) << "the same image, although the files are newer";
  open_builder();
  const auto third = built(request(application_context(3000)));
  ASSERT_TRUE(third);
  EXPECT_EQ(third->id, first->id);
}

TEST_F(Building, SeesWhatHasChanged) {
  const auto first = built(request(application_context()));
  ASSERT_TRUE(first);
  const auto changed = built(request(application_context(1000, "new program")));
  ASSERT_TRUE(changed);
  EXPECT_EQ(events_.cached(), 1u) << "WORKDIR";
  EXPECT_NE(changed->id, first->id);
  EXPECT_EQ(read(*changed, "/srv/main"), "new program");
  auto other_file = application_context().file("other", "changed, but nobody copies it");
  ASSERT_TRUE(built(request(other_file)));
  EXPECT_EQ(events_.cached(), 3u);
  auto argument = request(application_context());
  argument.build_args["V"] = "2";
  ASSERT_TRUE(built(std::move(argument)));
  EXPECT_EQ(events_.cached(), 2u) << "RUN sees the argument";
  auto ignoring = request(application_context());
  ignoring.cache = CacheUse::Ignore;
  ASSERT_TRUE(built(std::move(ignoring)));
  EXPECT_EQ(events_.cached(), 0u);
}

TEST_F(Building, BuildsStages) {
  fake_.program = [](const sys::RootDir& root, const StepRequest& request) {
    if (request.args.back() == "compile") put(root, "/out", "binary");
    return 0;
  };
  const std::string text =
      "FROM busybox AS build\nRUN compile\nFROM busybox AS unused\nRUN never\nFROM scratch\nCOPY "
      "--from=build --chown=5:6 /out /bin/app\nCOPY --from=busybox /bin/busybox /bin/sh\n";
  const auto image = built(request(text));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/bin/app"), "binary");
  EXPECT_EQ(status(*image, "/bin/app").st_uid, 5u);
  EXPECT_EQ(layers(*image), 2u);
  EXPECT_EQ(fake_.requests.size(), 1u);
  auto target = request(text);
  target.target = "build";
  const auto stage = built(std::move(target));
  ASSERT_TRUE(stage);
  EXPECT_EQ(read(*stage, "/out"), "binary");
  ASSERT_TRUE(built(request(text)));
  EXPECT_EQ(events_.cached(), 3u);
}

TEST_F(Building, MakesNoLayerOfNothing) {
  const auto image = built(request("FROM busybox\nRUN true\nWORKDIR /\nENV A=b\nWORKDIR /tmp\n"));
  ASSERT_TRUE(image);
  EXPECT_EQ(layers(*image), 1u);
  for (size_t i = image->config->history.size() - 4; i < image->config->history.size(); ++i)
    EXPECT_TRUE(image->config->history[i].empty_layer);
  const auto nothing = built(request("FROM scratch\nLABEL a=b\n"));
  ASSERT_TRUE(nothing);
  EXPECT_EQ(layers(*nothing), 0u);
}

TEST_F(Building, TakesMountStubsOutAgain) {
  fake_.program = [](const sys::RootDir& root, const StepRequest&) {
    EXPECT_TRUE(root.mkdir("/proc", 0755));
    put(root, "/etc/resolv.conf", "");
    return 0;
  };
  const auto image = built(request("FROM scratch\nCOPY Dockerfile /etc/\nRUN [\"x\"]\n"));
  ASSERT_TRUE(image);
  EXPECT_EQ(layers(*image), 1u);
  EXPECT_TRUE(read(*image, "/etc/resolv.conf").starts_with("error"));
}

TEST_F(Building, HonoursIgnoreFiles) {
  const auto context = TarBytes()
                           .file("Dockerfile", "FROM scratch\nCOPY . /\n")
                           .file("sub/Web", "FROM scratch\nCOPY . /\n")
                           .file(".dockerignore", "secret\nDockerfile\n")
                           .file("sub/Web.dockerignore", "public\n")
                           .file("secret", "s")
                           .file("public", "p");
  auto image = built(request(context));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/public"), "p");
  EXPECT_TRUE(read(*image, "/secret").starts_with("error"));
  EXPECT_TRUE(read(*image, "/Dockerfile").starts_with("error"));
  auto other = request(context);
  other.dockerfile = "sub/Web";
  image = built(std::move(other));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/secret"), "s");
  EXPECT_TRUE(read(*image, "/public").starts_with("error"));
}

TEST_F(Building, TakesAnyKindOfContext) {
  BuildRequest alone;
  alone.context = StreamContext{std::make_unique<testing::StringStream>("FROM scratch\nLABEL alone=yes\n")};
  ASSERT_TRUE(built(std::move(alone)));
  BuildRequest text;
  text.dockerfile_text = "FROM scratch\nCOPY <<EOF /hello\nworld\nEOF\n";
  auto image = built(std::move(text));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/hello"), "world\n");
  const std::string path = directory_.path() + "/project";
  ASSERT_TRUE(sys::make_dirs(path));
  ASSERT_TRUE(sys::write_file_atomic(path + "/Dockerfile", "FROM scratch\nCOPY f /\n"));
  ASSERT_TRUE(sys::write_file_atomic(path + "/f", "from a directory"));
  BuildRequest directory;
  directory.context = DirectoryContext{*sys::open_file(path.c_str(), O_RDONLY | O_DIRECTORY)};
  image = built(std::move(directory));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/f"), "from a directory");
}

TEST_F(Building, NamesFileLineAndInstruction) {
  fake_.program = [](const sys::RootDir&, const StepRequest&) { return 42; };
  const std::string text = "FROM busybox\nRUN one && \\\n  two\n";
  EXPECT_EQ(
      problem(request(text)),
      "Dockerfile:2: RUN one &&   two: The command '/bin/sh -c one &&   two' returned a non-zero code: 42");
  auto failed = events_.of<BuildFailed>();
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].exit_code, 42);
  EXPECT_EQ(failed[0].message, "The command '/bin/sh -c one &&   two' returned a non-zero code: 42");
  EXPECT_EQ(failed[0].lines, (spec::LineRange{2, 3}));
  EXPECT_NE(failed[0].excerpt.find("   2 | >>> RUN one && \\\n   3 | >>>   two"), std::string::npos)
      << failed[0].excerpt;
  EXPECT_EQ(problem(request("FROM busybox\nCOPY nope /x\n")),
            "Dockerfile:2: COPY nope /x: COPY failed: file not found in build context or excluded by "
            ".dockerignore: stat nope: file does not exist");
  EXPECT_EQ(problem(request("FROM busybox\nRUNN x\n")),
            "Dockerfile:2: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)");
  EXPECT_NE(problem(request("FROM nowhere\n")).find("Dockerfile:1: image \"nowhere\" not found locally"),
            std::string::npos);
  EXPECT_EQ(problem(request("FROM busybox\nCOPY --from=busybox /none /x\n")),
            "Dockerfile:2: COPY --from=busybox /none /x: COPY failed: \"/none\": not found");
  EXPECT_EQ(problem(request(TarBytes().file("x", "y"))), "Cannot locate specified Dockerfile: Dockerfile");
  EXPECT_EQ(problem(request("")), "the Dockerfile (Dockerfile) cannot be empty");
  auto tag = request("FROM busybox\n");
  tag.tags = {"UPPER"};
  EXPECT_NE(problem(std::move(tag)).find("invalid tag"), std::string::npos);
}

TEST_F(Building, LeavesNothingBehind) {
  fake_.program = [](const sys::RootDir&, const StepRequest&) { return 1; };
  EXPECT_NE(problem(request(application_context())), "built");
  EXPECT_EQ(left_in("/containers"), List{});
  EXPECT_EQ(left_in("/tmp/build"), List{});
  EXPECT_EQ(left_in("/trash"), List{});
}

TEST_F(Building, CanBeCancelled) {
  io::CancelSource source;
  events_.on_event = [&](const ProgressEvent& event) {
    if (std::holds_alternative<StepRunning>(event)) source.cancel();
  };
  const auto result = build(request("FROM busybox\nRUN wait\n"), source.token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), Kind::Cancelled);
  EXPECT_EQ(left_in("/containers"), List{});
  EXPECT_EQ(left_in("/tmp/build"), List{});
}

/// A context that never ends.
class SilentStream : public ContextStream {
 public:
  explicit SilentStream(io::CancelSource& source) : source_(source) {}
  io::Task<Result<std::string>> next() override {
    if (asked_++ > 0) {
      source_.cancel();
      co_await source_.token().wait();
      co_await io::EventLoop::current()->sleep_for(std::chrono::hours(1));
    }
    co_return std::string("D");
  }

 private:
  io::CancelSource& source_;
  int asked_ = 0;
};

TEST_F(Building, CanBeCancelledWhileItsContextArrives) {
  io::CancelSource source;
  BuildRequest request;
  request.context = StreamContext{std::make_unique<SilentStream>(source)};
  const auto result = build(std::move(request), source.token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), Kind::Cancelled);
  EXPECT_EQ(left_in("/tmp/build"), List{});
}

/// Serves one body with an ETag; counts.
class FileServer {
 public:
  explicit FileServer(io::EventLoop& loop)
      : server_(loop, [this](io::Exchange& exchange) { return answer(exchange); }) {
    auto port = server_.listen_tcp("127.0.0.1", 0);
    EXPECT_TRUE(port);
    url = fmt::format("http://127.0.0.1:{}", port ? *port : 0);
  }
  std::string url;
  std::string body = "downloaded";
  int full = 0;
  int unchanged = 0;

 private:
  io::Task<void> answer(io::Exchange& exchange) {
    const std::string etag = "\"" + sha256(body).short_hex() + "\"";
    exchange.set_header("ETag", etag);
    exchange.set_header("Last-Modified", "Tue, 14 Nov 2023 22:13:20 GMT");
    if (exchange.path() == "/gone") {
      (void)co_await exchange.respond(404, "text/plain", "no");
    } else if (exchange.header("If-None-Match") == etag) {
      ++unchanged;
      (void)co_await exchange.respond(304, "", "");
    } else {
      ++full;
      (void)co_await exchange.respond(200, "application/octet-stream", body);
    }
  }
  io::HttpServer server_;
};

TEST_F(Building, DownloadsForAdd) {
  FileServer server(loop_);
  const std::string text = "FROM scratch\nADD " + server.url + "/file.bin /data/\n";
  auto image = built(request(text));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/data/file.bin"), "downloaded");
  EXPECT_EQ(status(*image, "/data/file.bin").st_mode, static_cast<mode_t>(S_IFREG | 0600));
  EXPECT_EQ(status(*image, "/data/file.bin").st_mtime, 1700000000);
  const auto again = built(request(text));
  ASSERT_TRUE(again);
  EXPECT_EQ(again->id, image->id);
  EXPECT_EQ(server.full, 1);
  EXPECT_EQ(server.unchanged, 1);
  server.body = "changed";
  image = built(request(text));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/data/file.bin"), "changed");

  const std::string sum = sha256("changed").str();
  ASSERT_TRUE(built(request("FROM scratch\nADD --checksum=" + sum + " " + server.url + "/elsewhere /f\n")));
  EXPECT_EQ(server.full, 2) << "content that is here already is not fetched again";
  const auto mismatch = problem(
      request("FROM scratch\nADD --checksum=" + sha256("other").str() + " " + server.url + "/x /f\n"));
  EXPECT_NE(mismatch.find("digest mismatch"), std::string::npos) << mismatch;
  const auto gone = problem(request("FROM scratch\nADD " + server.url + "/gone /f\n"));
  EXPECT_NE(gone.find("with status 404"), std::string::npos) << gone;
  BuildRequest remote;
  server.body = "FROM scratch\nLABEL remote=yes\n";
  remote.context = RemoteContext{server.url + "/Dockerfile"};
  ASSERT_TRUE(built(std::move(remote)));
  BuildRequest other;
  other.context = RemoteContext{"ext::sh -c id"};
  EXPECT_NE(problem(std::move(other)).find("unknown remote build context"), std::string::npos);
}

TEST_F(Building, PrunesItsCache) {
  fake_.program = [](const sys::RootDir& root, const StepRequest& request) {
    put(root, "/" + request.args.back(), std::string(1000, 'x'));
    return 0;
  };
  const std::string text = "FROM busybox AS a\nRUN big\nFROM scratch\nCOPY --from=a /big /\n";
  const auto image = built(request(text));
  ASSERT_TRUE(image);
  const auto usage = builder_->disk_usage();
  ASSERT_TRUE(usage);
  EXPECT_EQ(std::count_if(usage->begin(), usage->end(), [](const auto& r) { return r.shared; }), 2)
      << "COPY, and the image";
  const size_t before = snapshotter_->layers().size();
  auto pruned = loop_.run_until_complete(builder_->prune({}, {}));
  ASSERT_TRUE(pruned) << pruned.error().message();
  EXPECT_EQ(pruned->ids.size(), 1u) << "only what no image has";
  EXPECT_GT(pruned->reclaimed_bytes, 0u);
  EXPECT_EQ(snapshotter_->layers().size(), before - 1);
  EXPECT_EQ(read(*image, "/big"), std::string(1000, 'x'));
  ASSERT_TRUE(built(request(text)));
  EXPECT_EQ(fake_.requests.size(), 2u);
  pruned = loop_.run_until_complete(builder_->prune({.all = true}, {}));
  ASSERT_TRUE(pruned);
  EXPECT_TRUE(builder_->disk_usage()->empty());
  EXPECT_EQ(read(*image, "/big"), std::string(1000, 'x'));
}

TEST_F(Building, RunsStagesAtOnceAndTellsThemInOrder) {
  std::string text;
  for (int i = 0; i < 6; ++i) text += fmt::format("FROM busybox AS s{}\nRUN step{}\n", i, i);
  text += "FROM scratch\n";
  for (int i = 0; i < 6; ++i) text += fmt::format("COPY --from=s{} /etc/passwd /p{}\n", i, i);
  ASSERT_TRUE(built(request(text)));
  uint32_t last = 0;
  for (const auto& event : events_.all) {
    uint32_t step = last;
    if (const auto* started = std::get_if<StepStarted>(&event)) step = started->step;
    if (const auto* log = std::get_if<StepLog>(&event)) step = log->step;
    EXPECT_GE(step, last);
    last = step;
  }
  EXPECT_EQ(last, 19u);
}

}  // namespace
}  // namespace berth::build
