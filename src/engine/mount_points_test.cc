// Tests of docker's mount notations and their precedence.
#include "engine/mount_points.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

TEST(ParseBind, TellsBindsVolumesAndAnonymousOnesApart) {
  auto bind = parse_bind("/host/../h:/in/:ro,rslave", "");
  ASSERT_TRUE(bind) << bind.error().message();
  EXPECT_EQ(bind->type, spec::MountType::Bind);
  EXPECT_EQ(bind->source, "/h");
  EXPECT_EQ(bind->destination, "/in");
  EXPECT_FALSE(bind->read_write);
  EXPECT_EQ(bind->propagation, "rslave");
  EXPECT_EQ(bind->mode, "ro,rslave");
  EXPECT_TRUE(bind->create_source);
  auto volume = parse_bind("data:/in:nocopy", "");
  ASSERT_TRUE(volume);
  EXPECT_EQ(volume->type, spec::MountType::Volume);
  EXPECT_EQ(volume->name, "data");
  EXPECT_TRUE(volume->no_copy);
  EXPECT_FALSE(volume->create_source);
  auto anonymous = parse_bind("/only", "");
  ASSERT_TRUE(anonymous);
  EXPECT_TRUE(anonymous->anonymous);
  EXPECT_EQ(parse_bind("data:/in", "")->mode, "z");
  EXPECT_EQ(parse_bind("/a:/b", "")->propagation, "rprivate");
}

TEST(ParseBind, RefusesInDockersWords) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c : {
           Case{"/a:/b:xx", "invalid mode: xx"},
           Case{"/a:/b:ro,rw", "invalid mode: ro,rw"},
           Case{"/a:/b:ro:x", "invalid volume specification: '/a:/b:ro:x'"},
           Case{":/b", "invalid volume specification: ':/b'"},
           Case{"/b:ro", "invalid volume specification: '/b:ro'"},
           Case{"", "invalid volume specification: ''"},
           Case{"/a:b",
                "invalid volume specification: '/a:b': invalid mount config for type \"bind\": invalid mount "
                "path: "
                "'b' mount path must be absolute"},
           Case{"/a:/",
                "invalid volume specification: '/a:/': invalid mount config for type \"bind\": invalid "
                "specification: destination can't be '/'"},
           Case{"v:/x/..",
                "invalid volume specification: 'v:/x/..': invalid mount config for type \"volume\": invalid "
                "specification: destination can't be '/'"},
       }) {
    auto parsed = parse_bind(c.text, "");
    ASSERT_FALSE(parsed) << c.text;
    EXPECT_EQ(parsed.error().message(), c.message);
    EXPECT_EQ(parsed.error().kind(), Kind::InvalidArgument);
  }
  EXPECT_TRUE(parse_bind("./x:/y", "").error().message().find("use absolute path") != std::string::npos);
  EXPECT_EQ(parse_bind("data:/y", "nfs").error().kind(), Kind::NotFound);
}

TEST(ReadOnlyReach, IsAsFarAsTheVersionSays) {
  spec::HostConfig host{.binds = {"/a:/a:ro", "/b:/b"}};
  host.mounts.push_back({.type = spec::MountType::Bind, .source = "/c", .target = "/c", .read_only = true});
  for (bool recursive : {true, false}) {
    MountSources sources{.volumes_of = {}, .new_name = [] { return std::string("n"); }};
    sources.read_only_recursive = recursive;
    auto mounts = resolve_mounts({}, host, sources);
    ASSERT_TRUE(mounts) << mounts.error().message();
    ASSERT_EQ(mounts->size(), 3u);
    for (const MountPoint& mount : *mounts)
      EXPECT_EQ(mount.read_only_recursive, recursive || mount.read_write) << mount.destination;
  }
}

TEST(ResolveMount, ReadOnlyOptionsThatContradict) {
  auto message = [](bool read_only, bool shallow, bool forced) {
    spec::MountRequest mount{
        .type = spec::MountType::Bind, .source = "/s", .target = "/t", .read_only = read_only};
    mount.bind =
        spec::MountRequest::Bind{.read_only_non_recursive = shallow, .read_only_force_recursive = forced};
    auto resolved = resolve_mount(mount);
    return resolved ? std::string() : resolved.error().message();
  };
  EXPECT_EQ(message(true, true, false), "");
  EXPECT_EQ(message(true, false, true), "");
  EXPECT_NE(message(false, true, false).find("!ReadOnly && BindOptions.ReadOnlyNonRecursive"),
            std::string::npos);
  EXPECT_NE(message(false, false, true).find("!ReadOnly && BindOptions.ReadOnlyForceRecursive"),
            std::string::npos);
  EXPECT_NE(message(true, true, true).find("ReadOnlyNonRecursive && BindOptions.ReadOnlyForce"),
            std::string::npos);
}

TEST(ResolveMount, ChecksEachType) {
  using spec::MountRequest;
  using spec::MountType;
  auto message = [](const MountRequest& mount) { return resolve_mount(mount).error().message(); };
  EXPECT_EQ(message({.type = MountType::Bind, .target = "/x"}),
            "invalid mount config for type \"bind\": field Source must not be empty");
  EXPECT_EQ(message({.type = MountType::Volume, .source = "v"}),
            "invalid mount config for type \"volume\": field Target must not be empty");
  EXPECT_EQ(
      message({.type = MountType::Volume, .target = "/x", .read_only = true}),
      "invalid mount config for type \"volume\": must not set ReadOnly mode when using anonymous volumes");
  EXPECT_EQ(message({.type = MountType::Tmpfs, .source = "s", .target = "/x"}),
            "invalid mount config for type \"tmpfs\": field Source must not be specified");
  MountRequest escape{.type = MountType::Volume, .source = "vol", .target = "/x"};
  escape.volume = MountRequest::Volume{.subpath = "../up"};
  EXPECT_EQ(message(escape),
            "invalid mount config for type \"volume\": subpath must be a relative path within the volume");
  MountRequest propagation{.type = MountType::Bind, .source = "/s", .target = "/x"};
  propagation.bind = MountRequest::Bind{.propagation = "odd"};
  EXPECT_EQ(message(propagation), "invalid mount config for type \"bind\": invalid propagation mode: odd");
}

TEST(ResolveMount, TmpfsOptions) {
  spec::MountRequest mount{.type = spec::MountType::Tmpfs, .target = "/t"};
  mount.tmpfs = spec::MountRequest::Tmpfs{.size_bytes = 1024, .mode = 0700, .options = {{"exec"}}};
  auto point = resolve_mount(mount);
  ASSERT_TRUE(point);
  EXPECT_EQ(point->tmpfs_options, (std::vector<std::string>{"nosuid", "nodev", "size=1024", "mode=700"}));
}

class ResolveMounts : public ::testing::Test {
 protected:
  MountSources sources() {
    return {.volumes_of = [this](std::string_view name) -> Result<std::vector<MountPoint>> {
              if (name != "other") return Error(Kind::NotFound, "No such container: " + std::string(name));
              return others;
            },
            .new_name = [this] { return "new" + std::to_string(++names); }};
  }
  std::vector<MountPoint> others;
  int names = 0;
  spec::ContainerConfig config;
  spec::HostConfig host;
};

TEST_F(ResolveMounts, ImageVolumesYieldToWhatWasAskedFor) {
  config.volumes = {"/data", "relative", "/cache"};
  host.binds = {"/host:/data"};
  host.tmpfs = {{"/cache", ""}};
  auto mounts = resolve_mounts(config, host, sources());
  ASSERT_TRUE(mounts) << mounts.error().message();
  ASSERT_EQ(mounts->size(), 2u);
  EXPECT_EQ(mounts->at(0).destination, "/data");
  EXPECT_EQ(mounts->at(0).type, spec::MountType::Bind);
  EXPECT_EQ(mounts->at(1).destination, "/relative");
  EXPECT_EQ(mounts->at(1).name, "new1");
  EXPECT_TRUE(mounts->at(1).anonymous);
}

TEST_F(ResolveMounts, VolumesFromAreReplacedByOnesOwn) {
  others = {{.type = spec::MountType::Volume, .name = "v", .destination = "/a"},
            {.type = spec::MountType::Bind, .source = "/s", .destination = "/b"}};
  host.volumes_from = {"other:ro"};
  host.binds = {"/mine:/b"};
  auto mounts = resolve_mounts(config, host, sources());
  ASSERT_TRUE(mounts);
  ASSERT_EQ(mounts->size(), 2u);
  EXPECT_FALSE(mounts->at(0).read_write);
  EXPECT_EQ(mounts->at(1).source, "/mine");
  host.volumes_from = {"missing"};
  EXPECT_EQ(resolve_mounts(config, host, sources()).error().kind(), Kind::InvalidArgument);
}

TEST_F(ResolveMounts, TheSamePlaceTwiceIsRefused) {
  host.binds = {"/a:/x", "/b:/x/"};
  EXPECT_EQ(resolve_mounts(config, host, sources()).error().message(), "Duplicate mount point: /x");
  host.binds = {"/a:/x"};
  host.tmpfs = {{"/x", ""}};
  EXPECT_EQ(resolve_mounts(config, host, sources()).error().message(), "Duplicate mount point: /x");
}

TEST_F(ResolveMounts, DeeperPlacesComeLater) {
  host.binds = {"/a:/x/y/z", "/b:/x", "/c:/x/y"};
  auto mounts = resolve_mounts(config, host, sources());
  ASSERT_TRUE(mounts);
  EXPECT_EQ(mounts->at(0).destination, "/x");
  EXPECT_EQ(mounts->at(2).destination, "/x/y/z");
}

TEST_F(ResolveMounts, AVolumeOfTheImageStaysInside) {
  config.volumes = {"/../../etc", "/.."};
  EXPECT_FALSE(resolve_mounts(config, host, sources()));
  config.volumes = {"/../../etc"};
  auto mounts = resolve_mounts(config, host, sources());
  ASSERT_TRUE(mounts);
  EXPECT_EQ(mounts->at(0).destination, "/etc");
}

}  // namespace
}  // namespace berth::engine
