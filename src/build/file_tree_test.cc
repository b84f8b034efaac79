// Contexts as indexes, link resolution, selection and its digests.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "build/directory_tree.h"
#include "build/index_tree.h"
#include "build/selection.h"
#include "storage/testing.h"

namespace berth::build {
namespace {

using List = std::vector<std::string>;
using storage::TarBytes;
using storage::TempDir;

class Trees : public testing::Test {
 protected:
  Result<std::unique_ptr<IndexTree>> index(const std::string& tar, storage::ArchiveLimits limits = {}) {
    storage::StringSource source(tar);
    return IndexTree::from_tar(source, directory_.path(), limits, {});
  }
  std::unique_ptr<IndexTree> tree(const TarBytes& tar) {
    auto made = index(tar.finish());
    EXPECT_TRUE(made) << made.error().message();
    return made ? std::move(*made) : std::make_unique<IndexTree>();
  }
  static List paths(const FileTree& tree, CopyOp::Source source, const List& exclude_patterns = {}) {
    List found;
    const auto excludes = spec::PatternSet::create(exclude_patterns);
    auto roots = select_roots(tree, source);
    EXPECT_TRUE(roots) << roots.error().message();
    for (const auto& root : *roots) {
      const SelectionVisitor visitor = [&](const std::string& path, const std::string&,
                                           const FileNode&) -> Result<void> {
        found.push_back(path);
        return {};
      };
      auto walked = walk_selection(tree, root, source, *excludes, visitor, {});
      if (!walked) found.push_back("error: " + walked.error().message());
    }
    return found;
  }
  static std::string digest(const FileTree& tree, const std::string& path, const List& excludes = {}) {
    auto result = selection_digest(tree, {.path = path}, excludes, {});
    return result ? result->hex() : result.error().message();
  }

  TempDir directory_;
};

TarBytes sample() {
  return TarBytes()
      .dir("src/")
      .file("src/a.c", "int a;")
      .file("src/b.c", "int b;")
      .file("src/sub/c.h", "// c")
      .file("README.md", "read")
      .symlink("link", "src")
      .symlink("abs", "/src/sub")
      .symlink("src/up", "../README.md");
}

TEST_F(Trees, IndexesAndReads) {
  const auto context = tree(sample());
  EXPECT_EQ(*context->list("/"), (List{"README.md", "abs", "link", "src"}));
  EXPECT_EQ(context->stat("/src/sub")->type, FileType::Directory) << "implied by a file in it";
  EXPECT_EQ(*context->read_text("/src/a.c", 100), "int a;");
  EXPECT_EQ(*context->read_text("link/up", 100), "read");
  EXPECT_EQ(context->read_text("/src/a.c", 3).error().kind(), Kind::Exhausted);
  EXPECT_EQ(context->stat("/nope").error().kind(), Kind::NotFound);
  EXPECT_EQ(*context->content_digest("/src/a.c"), sha256("int a;"));
  EXPECT_EQ(context->content_bytes(), 20u);
}

TEST_F(Trees, ResolvesLinksWithinTheTree) {
  const auto context = tree(TarBytes()
                                .dir("a/b")
                                .symlink("up", "../../../a")
                                .symlink("abs", "/a/b")
                                .symlink("deep", "a/b/../b")
                                .symlink("loop", "loop")
                                .symlink("d", "abs")
                                .file("a/b/f", "x")
                                .symlink("hop", "d/.."));
  EXPECT_EQ(*context->resolve("up/b/f"), "/a/b/f");
  EXPECT_EQ(*context->resolve("abs/f"), "/a/b/f");
  EXPECT_EQ(*context->resolve("deep/f"), "/a/b/f");
  EXPECT_EQ(*context->resolve("d/f"), "/a/b/f");
  EXPECT_EQ(*context->resolve("hop"), "/a") << "'..' after a link is the target's parent";
  EXPECT_EQ(*context->resolve("../../a"), "/a");
  EXPECT_EQ(context->resolve("loop").error().kind(), Kind::InvalidArgument);
  EXPECT_EQ(context->resolve("a/x").error().message(), "\"a/x\": not found");
}

TEST_F(Trees, KeepsLaterEntriesAndHardLinks) {
  const auto context =
      tree(TarBytes().file("f", "old").file("f", "new").hardlink("g", "f").file("d", "file").dir("d"));
  EXPECT_EQ(*context->read_text("f", 10), "new");
  EXPECT_EQ(*context->read_text("g", 10), "new");
  EXPECT_NE(context->stat("/g")->link_group, 0u);
  EXPECT_EQ(context->stat("/d")->type, FileType::Directory);
}

TEST_F(Trees, BendsNamesIntoTheContext) {
  const auto context = tree(TarBytes().file("../up", "x").file("a/../../up2", "y").hardlink("h", "../../up"));
  EXPECT_EQ(*context->list("/"), (List{"h", "up", "up2"}));
  EXPECT_EQ(*context->read_text("h", 10), "x");
}

TEST_F(Trees, RefusesHostileArchives) {
  EXPECT_FALSE(index(TarBytes().symlink("l", "/etc").file("l/passwd", "x").finish())) << "through a link";
  EXPECT_FALSE(index(TarBytes().hardlink("h", "/etc/passwd").finish()));
  EXPECT_FALSE(index(TarBytes().hardlink("h", "missing").finish()));
  EXPECT_TRUE(index(TarBytes().file("/abs", "x").finish())) << "absolute names are within the context";
  std::string deep;
  for (int i = 0; i < 300; ++i) deep += "d/";
  EXPECT_FALSE(index(TarBytes().pax({"path=" + deep + "f"}).file("x", "y").finish()));
  EXPECT_FALSE(index(TarBytes().file("a", "x").file("b", "y").finish(), {.max_entries = 1}));
  EXPECT_FALSE(index(sample().finish().substr(0, 700))) << "cut off";
}

TEST_F(Trees, AppliesIgnoreFiles) {
  const auto context = tree(sample());
  context->apply_ignore(*spec::PatternSet::create({"src", "!src/sub/*.h", "*.md"}));
  EXPECT_EQ(*context->list("/"), (List{"abs", "link", "src"}));
  EXPECT_EQ(*context->list("/src"), (List{"sub"}));
  EXPECT_EQ(*context->list("/src/sub"), (List{"c.h"}));
}

TEST_F(Trees, SelectsAsDocker) {
  const auto context = tree(sample());
  EXPECT_EQ(paths(*context, {.path = "/src"}),
            (List{"/src", "/src/a.c", "/src/b.c", "/src/sub", "/src/sub/c.h", "/src/up"}));
  EXPECT_EQ(paths(*context, {.path = "/link"}), paths(*context, {.path = "/src"}))
      << "the source itself is followed";
  EXPECT_EQ(paths(*context, {.path = "/src/*.c", .wildcards = true}), (List{"/src/a.c", "/src/b.c"}));
  EXPECT_EQ(paths(*context, {.path = "/*/sub/?.h", .wildcards = true}), (List{"/src/sub/c.h"}));
  EXPECT_EQ(paths(*context, {.path = "/link/*.c", .wildcards = true}), (List{"/src/a.c", "/src/b.c"}));
  EXPECT_EQ(paths(*context, {.path = "/no*", .wildcards = true}), List{});
  EXPECT_EQ(paths(*context, {.path = "/src"}, {"sub", "*.c"}), (List{"/src", "/src/up"}));
  EXPECT_EQ(paths(*context, {.path = "/src/*", .wildcards = true}, {"a.c"}),
            (List{"/src/b.c", "/src/sub", "/src/sub/c.h", "/README.md"}));
  EXPECT_EQ(paths(*context, {.path = "/src"}, {"**", "!sub/c.h"}),
            (List{"/src", "/src/sub", "/src/sub/c.h"}));
  EXPECT_EQ(select_roots(*context, {.path = "/nope"}).error().message(), "\"/nope\": not found");
}

TEST_F(Trees, KeepsParentsWhenAsked) {
  const auto context = tree(sample());
  EXPECT_EQ(paths(*context, {.path = "/", .parents_pattern = "src/sub/c.h"}),
            (List{"/src", "/src/sub", "/src/sub/c.h"}));
  EXPECT_EQ(paths(*context, {.path = "/src", .parents_pattern = "**/*.h"}),
            (List{"/src/sub", "/src/sub/c.h"}));
  EXPECT_EQ(paths(*context, {.path = "/", .parents_pattern = "*/a.c"}), (List{"/src", "/src/a.c"}));
  EXPECT_EQ(paths(*context, {.path = "/", .parents_pattern = "src/none"}),
            (List{"error: \"/src/none\": not found"}));
}

TEST_F(Trees, DigestsContentNotTime) {
  const auto one = tree(TarBytes().file("d/f", "x").symlink("d/l", "f"));
  const auto later = tree(
      TarBytes().add({.name = "d/f", .content = "x", .uid = 5, .gid = 6, .mtime = 99}).symlink("d/l", "f"));
  EXPECT_EQ(digest(*one, "/d"), digest(*later, "/d")) << "neither time nor, from a context, owner counts";
  EXPECT_NE(digest(*one, "/d"), digest(*tree(TarBytes().file("d/f", "y").symlink("d/l", "f")), "/d"));
  EXPECT_NE(digest(*one, "/d"), digest(*tree(TarBytes().file("d/f", "x", 0755).symlink("d/l", "f")), "/d"));
  EXPECT_NE(digest(*one, "/d"), digest(*tree(TarBytes().file("d/f", "x").symlink("d/l", "g")), "/d"));
  EXPECT_NE(digest(*one, "/d"), digest(*tree(TarBytes().file("d/e", "x").symlink("d/l", "f")), "/d"));
  EXPECT_EQ(digest(*one, "/d", {"f"}),
            digest(*tree(TarBytes().file("d/f", "other").symlink("d/l", "f")), "/d", {"f"}));
  EXPECT_EQ(digest(*one, "/d"),
            digest(*tree(TarBytes().dir("d", 0700).file("d/f", "x").symlink("d/l", "f")), "/d"))
      << "the directory whose contents are copied does not show";
}

TEST_F(Trees, DirectoriesAndArchivesAgree) {
  const std::string root = directory_.path() + "/tree";
  ASSERT_TRUE(sys::make_dirs(root + "/d/e"));
  ASSERT_TRUE(sys::write_file_atomic(root + "/d/f", "x", 0644));
  ASSERT_EQ(::chmod((root + "/d/e").c_str(), 0755), 0);
  ASSERT_EQ(::symlink("f", (root + "/d/l").c_str()), 0);
  const auto archived = tree(TarBytes().file("d/f", "x").symlink("d/l", "f").dir("d/e"));
  auto indexed = IndexTree::from_directory(*sys::RootDir::open(root), 100, {});
  ASSERT_TRUE(indexed) << indexed.error().message();
  const DirectoryTree live(*sys::RootDir::open(root));
  EXPECT_EQ(digest(**indexed, "/d"), digest(*archived, "/d"));
  EXPECT_EQ(digest(live, "/d"), digest(*archived, "/d"));
  EXPECT_EQ(*(*indexed)->read_text("d/l", 10), "x");
  EXPECT_EQ(IndexTree::from_directory(*sys::RootDir::open(root), 2, {}).error().kind(), Kind::Exhausted);
}

TEST_F(Trees, HoldsSparseFiles) {
  const auto small = tree(TarBytes()
                              .pax({"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=s",
                                    "GNU.sparse.realsize=1048576"})
                              .file("x", std::string("1\n1048574\n2\n") + std::string(500, '\0') + "ab"));
  EXPECT_EQ(small->stat("/s")->size, 1048576u);
  auto text = small->read_text("s", 2 << 20);
  ASSERT_TRUE(text) << text.error().message();
  EXPECT_EQ(text->substr(1048574), "ab");
  EXPECT_EQ(text->substr(0, 4), std::string(4, '\0'));
}

}  // namespace
}  // namespace berth::build
