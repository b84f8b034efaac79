// Following links through a root and the volumes that would lie on it.
#include "engine/mounted_paths.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>

#include "storage/testing.h"

namespace berth::engine {
namespace {

class MountedPathsTest : public testing::Test {
 protected:
  MountedPathsTest() {
    for (const char* directory : {"/root/run/inner", "/root/dir", "/volume/sub", "/deep"})
      std::filesystem::create_directories(top_ + directory);
    link("/run", "/root/var-run");
    link("/vol/sub", "/root/into");
    link("/dir", "/volume/out");
    link("../dir", "/volume/up");
    link("sub", "/volume/near");
    link("loop", "/volume/loop");
    link("/vol/nothing/there", "/volume/dangling");
    root_ = sys::RootDir::open(top_ + "/root").value();
  }

  void link(const char* target, const char* path) { ASSERT_EQ(::symlink(target, (top_ + path).c_str()), 0); }
  MountedPaths paths() {
    return {root_,
            {{.type = spec::MountType::Volume, .source = top_ + "/volume", .destination = "/vol"},
             {.type = spec::MountType::Bind, .source = top_ + "/deep", .destination = "/var-run/inner"},
             {.type = spec::MountType::Tmpfs, .destination = "/dir"}}};
  }
  std::string follow(std::string_view path, sys::Follow last = sys::Follow::Yes) {
    auto resolved = paths().resolve(path, last);
    return resolved ? *resolved : "error " + std::to_string(resolved.error().errno_value());
  }

  storage::TempDir directory_;
  const std::string& top_ = directory_.path();
  sys::RootDir root_;
};

TEST_F(MountedPathsTest, LinksLeadOutOfVolumesAndIntoThem) {
  EXPECT_EQ(follow("/vol/out"), "/dir");
  EXPECT_EQ(follow("/vol/up/x"), "/dir/x");
  EXPECT_EQ(follow("/into/file"), "/vol/sub/file");
  EXPECT_EQ(follow("/vol/near/../out/y"), "/dir/y");
  EXPECT_EQ(follow("//vol/./near/"), "/vol/sub");
}

TEST_F(MountedPathsTest, ASubpathStaysInItsVolume) {
  link((top_ + "/deep").c_str(), "/volume/host");
  link("../deep", "/volume/beside");
  std::ofstream(top_ + "/volume/file") << "x";
  auto problem = [this](const char* subpath) {
    auto opened =
        open_source({.type = spec::MountType::Volume, .source = top_ + "/volume", .subpath = subpath});
    return opened ? 0 : opened.error().errno_value();
  };
  EXPECT_EQ(problem("sub"), 0);
  EXPECT_EQ(problem("near"), 0);
  EXPECT_EQ(problem("host"), EXDEV);
  EXPECT_EQ(problem("beside"), EXDEV);
  EXPECT_EQ(problem("nothing"), ENOENT);
  EXPECT_EQ(problem("file"), ENOTDIR);
}

TEST_F(MountedPathsTest, LinksBelowASubpathAreReadInTheVolume) {
  link("/dir", "/volume/sub/out");
  link((top_ + "/volume").c_str(), "/volume/host");
  MountedPaths below(
      root_,
      {{.type = spec::MountType::Volume, .source = top_ + "/volume", .destination = "/vol", .subpath = "sub"},
       {.type = spec::MountType::Volume,
        .source = top_ + "/volume",
        .destination = "/led-out",
        .subpath = "host"}});
  EXPECT_EQ(below.resolve("/vol/out", sys::Follow::Yes).value(), "/dir");
  EXPECT_EQ(below.resolve("/led-out/out", sys::Follow::Yes).value(), "/led-out/out");
}

TEST_F(MountedPathsTest, TheLastComponentMayBeMeantItself) {
  EXPECT_EQ(follow("/vol/out", sys::Follow::No), "/vol/out");
  EXPECT_EQ(follow("/into", sys::Follow::No), "/into");
}

TEST_F(MountedPathsTest, WhatIsNotThereStandsAsItIs) {
  EXPECT_EQ(follow("/none/../vol/none/x"), "/vol/none/x");
  EXPECT_EQ(follow("/vol/dangling"), "/vol/nothing/there");
  EXPECT_EQ(follow("/../.."), "/");
}

TEST_F(MountedPathsTest, LinksWithoutEndAreRefused) {
  EXPECT_EQ(follow("/vol/loop"), "error " + std::to_string(ELOOP));
}

TEST_F(MountedPathsTest, MountsLieWhereTheirDestinationsLead) {
  MountedPaths all = paths();
  ASSERT_NE(all.mount_of("/run/inner/x"), nullptr);
  EXPECT_EQ(all.mount_of("/run/inner/x")->source, top_ + "/deep");
  EXPECT_EQ(all.mount_of("/vol")->source, top_ + "/volume");
  EXPECT_EQ(all.mount_of("/volume"), nullptr);
  EXPECT_EQ(all.mount_of("/dir/x"), nullptr) << "a tmpfs is not there before the container runs";
}

}  // namespace
}  // namespace berth::engine
