// The rules of cp, and contexts of builds.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "apps/berth/archive/build_context.h"
#include "apps/berth/archive/copy_path.h"
#include "apps/berth/archive/local_tree.h"
#include "storage/tar_reader.h"

namespace berth::cli::archive {
namespace {

namespace fs = std::filesystem;

TEST(CopyPath, TellsContainersFromPaths) {
  auto parts = [](const char* text) {
    auto argument = split_argument(text);
    return argument.container + "|" + argument.path;
  };
  EXPECT_EQ(parts("c:/a"), "c|/a");
  EXPECT_EQ(parts("c:"), "c|");
  EXPECT_EQ(parts("/a:b"), "|/a:b");
  EXPECT_EQ(parts("./c:b"), "|./c:b");
  EXPECT_EQ(parts("plain"), "|plain");
  EXPECT_EQ(parts("-"), "|-");
}

TEST(CopyPath, SplitsAsGoDoes) {
  auto parts = [](const char* text) {
    auto split = split_path(text);
    return split.folder + "|" + split.base;
  };
  EXPECT_EQ(parts("/a/b"), "/a|b");
  EXPECT_EQ(parts("/a/b/"), "/a|b");
  EXPECT_EQ(parts("/a/b/."), "/a/b|.");
  EXPECT_EQ(parts("/a"), "/|a");
  EXPECT_EQ(parts("/"), "/|/");
  EXPECT_EQ(parts("a"), ".|a");
  EXPECT_EQ(keep_ending("/a/b", "b/"), "/a/b/");
  EXPECT_EQ(keep_ending("/a/b", "b/."), "/a/b/.");
}

struct PlanCase {
  CopySource source;
  CopyDestination destination;
  const char* result;  ///< "folder old new", or the error
};

TEST(CopyPath, PlansCopies) {
  for (const PlanCase& c : std::vector<PlanCase>{
           {{"/s/file", false}, {"/d", true, true}, "/d file file"},
           {{"/s/file", false}, {"/d/old", true, false}, "/d file old"},
           {{"/s/file", false}, {"/d/new", false, false}, "/d file new"},
           {{"/s/file", false}, {"/d/new/", false, false}, "no such directory"},
           {{"/s/dir", true}, {"/d", true, true}, "/d dir dir"},
           {{"/s/dir", true}, {"/d/new", false, false}, "/d dir new"},
           {{"/s/dir", true}, {"/d/new/", false, false}, "/d dir new"},
           {{"/s/dir", true}, {"/d/old", true, false}, "cannot copy directory"},
           {{"/s/dir/.", true}, {"/d", true, true}, "/d . ."},
           {{"/s/dir/.", true}, {"/d/new", false, false}, "/d . new"},
           {{"/s/target", false, "link"}, {"/d", true, true}, "/d link link"},
       }) {
    auto plan = plan_copy(c.source, c.destination);
    std::string text =
        plan ? plan->folder + " " + plan->old_name + " " + plan->new_name : plan.error().message;
    EXPECT_EQ(text, c.result) << c.source.path << " to " << c.destination.path;
  }
}

TEST(CopyPath, RenamesTheTopEntryOnly) {
  CopyPlan plan{"/d", "a", "b"};
  EXPECT_EQ(rename_entry("a", plan), "b");
  EXPECT_EQ(rename_entry("a/", plan), "b/");
  EXPECT_EQ(rename_entry("a/a/x", plan), "b/a/x");
  EXPECT_EQ(rename_entry("ab/x", plan), "ab/x");
  EXPECT_EQ(rename_entry("./x", {"/d", ".", "b"}), "b/x");
  EXPECT_EQ(rename_entry("/bin/x", {"/d", "/", "b"}), "b/bin/x");
  EXPECT_EQ(rename_entry("./bin", {"/d", "/", "b"}), "b/bin");
}

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = fs::temp_directory_path() / "berth-cli-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = fs::canonical(name);
  }
  void TearDown() override { fs::remove_all(root_); }
  std::string path(const std::string& name) const { return root_ / name; }
  void write(const std::string& name, std::string_view text = "x") {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream(path(name)) << text;
  }

  /// Names (and contents of small files) in an archive, separated by spaces.
  static std::string list(const std::string& tar) {
    struct OneChunk : storage::ChunkSource {
      std::string_view left;
      Result<std::string_view> next_chunk() override { return std::exchange(left, {}); }
    } chunk;
    chunk.left = tar;
    storage::TarReader reader(chunk, {});
    storage::TarEntry entry;
    std::string names;
    while (true) {
      auto found = reader.next(entry);
      if (!found) return names + "! " + found.error().message();
      if (!*found) return names;
      names += (names.empty() ? "" : " ") + entry.name;
      if (entry.type == storage::TarType::HardLink) names += "=>" + entry.link;
      if (entry.type == storage::TarType::Symlink) names += "->" + entry.link;
    }
  }

  std::string packed(const BuildContext& context) {
    std::string tar;
    auto done = write_context(context, [&](std::string_view bytes) {
      tar += bytes;
      return Outcome<void>();
    });
    return done ? list(tar) : "error: " + done.error().message;
  }

  fs::path root_;
};

TEST_F(Files, ContextLeavesOutWhatIsIgnored) {
  write("Dockerfile");
  write(".dockerignore", "*.log\nbuild\n!build/keep\nDockerfile\n.dockerignore\n");
  write("a.log");
  write("sub/b.log");
  write("sub/c");
  write("build/x");
  write("build/keep");
  auto context = examine_context(path("."), "");
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(packed(*context), ".dockerignore Dockerfile build/keep sub/ sub/b.log sub/c");
}

TEST_F(Files, ContextKeepsLinks) {
  write("Dockerfile");
  write("a", "1");
  fs::create_hard_link(path("a"), path("b"));
  fs::create_symlink("../outside", path("l"));
  ASSERT_EQ(::mkfifo(path("p").c_str(), 0600), 0);
  auto context = examine_context(path("."), "");
  ASSERT_TRUE(context);
  EXPECT_EQ(packed(*context), "Dockerfile a b=>a l->../outside p");
}

TEST_F(Files, DockerfileMayLieElsewhere) {
  write("ctx/x");
  write("Other", "FROM scratch");
  auto context = examine_context(path("ctx"), path("Other"));
  ASSERT_TRUE(context) << context.error().message;
  EXPECT_EQ(context->outside_dockerfile, "FROM scratch");
  EXPECT_EQ(packed(*context), "x " + context->dockerfile);
  write("ctx/sub/D");
  EXPECT_EQ(examine_context(path("ctx"), path("ctx/sub/D"))->dockerfile, "sub/D");
}

TEST_F(Files, ContextErrors) {
  EXPECT_EQ(examine_context(path("none"), "").error().message,
            "unable to prepare context: path \"" + path("none") + "\" not found");
  EXPECT_EQ(examine_context(path("."), "").error().message,
            "unable to prepare context: unable to evaluate symlinks in Dockerfile path: lstat " +
                path("Dockerfile") + ": no such file or directory");
  write("file");
  EXPECT_NE(examine_context(path("file"), "").error().message.find("must be a directory"), std::string::npos);
}

TEST_F(Files, RecognisesArchives) {
  using namespace std::string_view_literals;
  EXPECT_TRUE(looks_like_archive("\x1F\x8B\x08"sv));
  EXPECT_TRUE(looks_like_archive("BZh9"sv));
  EXPECT_FALSE(looks_like_archive("FROM scratch\n"sv));
  EXPECT_FALSE(looks_like_archive(std::string(512, 'x')));
  std::string tar;
  ASSERT_TRUE(write_dockerfile_alone("FROM scratch", [&](std::string_view bytes) {
    tar += bytes;
    return Outcome<void>();
  }));
  EXPECT_TRUE(looks_like_archive(tar));
  EXPECT_EQ(list(tar), "Dockerfile");
}

TEST_F(Files, CopiesThereAndBack) {
  write("src/a", "alpha");
  write("src/sub/b", "beta");
  fs::create_symlink("a", path("src/l"));
  std::string tar;
  ASSERT_TRUE(write_archive({path("src"), true}, "renamed", [&](std::string_view bytes) {
    tar += bytes;
    return Outcome<void>();
  }));
  EXPECT_EQ(list(tar), "renamed/ renamed/a renamed/l->a renamed/sub/ renamed/sub/b");
  fs::create_directory(path("dst"));
  std::string_view left = tar;
  auto read = [&]() -> Outcome<std::string_view> { return std::exchange(left, {}); };
  auto done = read_archive({path("dst"), "renamed", "back"}, read);
  ASSERT_TRUE(done) << done.error().message;
  EXPECT_EQ(fs::file_size(path("dst/back/sub/b")), 4u);
  EXPECT_EQ(fs::read_symlink(path("dst/back/l")), "a");
}

TEST_F(Files, AHostileArchiveStaysInside) {
  write("dst/keep");
  write("outside/victim", "alive");
  fs::create_symlink(path("outside"), path("dst/out"));
  std::string tar;
  ASSERT_TRUE(write_archive({path("dst/keep"), false}, "../outside/victim", [&](std::string_view bytes) {
    tar += bytes;
    return Outcome<void>();
  }));
  std::string through_link;
  ASSERT_TRUE(write_archive({path("dst/keep"), false}, "out/victim", [&](std::string_view bytes) {
    through_link += bytes;
    return Outcome<void>();
  }));
  for (std::string_view archive : {std::string_view(tar), std::string_view(through_link)}) {
    std::string_view left = archive;
    (void)read_archive({path("dst"), "x", "x"},
                       [&]() -> Outcome<std::string_view> { return std::exchange(left, {}); });
    EXPECT_EQ(fs::file_size(path("outside/victim")), 5u);
  }
}

TEST_F(Files, DestinationsFollowLinks) {
  write("dir/file");
  fs::create_symlink("dir/file", path("l"));
  fs::create_symlink("dir/new", path("broken"));
  auto found = examine_destination(path("l"));
  EXPECT_EQ(found->path, path("dir/file"));
  EXPECT_TRUE(found->exists);
  found = examine_destination(path("broken"));
  EXPECT_EQ(found->path, path("dir/new"));
  EXPECT_FALSE(found->exists);
  EXPECT_FALSE(examine_destination(path("no/such/dir")));
  EXPECT_EQ(check_output_path(path("no/such")).error().message,
            "invalid output path: directory \"" + path("no") + "\" does not exist");
  EXPECT_FALSE(check_output_path("/dev/null"));
}

}  // namespace
}  // namespace berth::cli::archive
