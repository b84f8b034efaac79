// CDI specifications, and the YAML that they come in.
#include "spec/cdi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "base/json.h"
#include "spec/yaml_document.h"

namespace berth::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(YamlDocument, ScalarsAreWhatYaml11Has) {
  auto document = parse_yaml_document(
      "a: 1\nb: 0x1f\nc: 0660\nd: true\ne: ~\nf: '1'\ng: 1.5\nh: [x, -3]\ni: &i {k: v}\nj: *i\nk: 08\n");
  ASSERT_TRUE(document) << document.error().message();
  EXPECT_EQ(*document, parse_json(R"({"a": 1, "b": 31, "c": 432, "d": true, "e": null, "f": "1", "g": "1.5",
    "h": ["x", -3], "i": {"k": "v"}, "j": {"k": "v"}, "k": "08"})")
                           .value());
}

TEST(YamlDocument, IsBounded) {
  auto complaint = [](std::string_view text, const YamlLimits& limits = {}) {
    auto document = parse_yaml_document(text, limits);
    return document ? std::string("taken") : document.error().message();
  };
  EXPECT_THAT(complaint("a: 1\na: 2\n"), HasSubstr("line 2: the key \"a\" is there twice"));
  EXPECT_THAT(complaint("a: [1\n"), HasSubstr("line "));
  EXPECT_THAT(complaint("[1]: x\n"), HasSubstr("a key must be a text"));
  EXPECT_THAT(complaint("a: &a [1, 1]\nb: [*a, *a, *a]\n", {.max_nodes = 10}), HasSubstr("too many nodes"));
  EXPECT_THAT(complaint("a: [[[1]]]\n", {.max_depth = 2}), HasSubstr("nested too deeply"));
  EXPECT_THAT(complaint("a: 1\n", {.max_bytes = 3}), HasSubstr("larger than 3 bytes"));
}

constexpr std::string_view kSpec = R"(
cdiVersion: "0.7.0"
kind: vendor.com/class
annotations: {a: b}
containerEdits:
  env: [ALL=1]
devices:
- name: 0
  containerEdits:
    deviceNodes:
    - {path: /dev/a, hostPath: /dev/b, type: c, major: 1, minor: 2, fileMode: 0660, permissions: rw, uid: 3, gid: 4}
    mounts:
    - {hostPath: /lib/x, containerPath: /lib/y, options: [ro, bind]}
    hooks:
    - {hookName: createContainer, path: /bin/hook, args: [hook, x], env: [A=1], timeout: 5}
    additionalGids: [7]
- name: all
  containerEdits: {env: [X=y]}
)";

TEST(Cdi, ReadsEveryPart) {
  auto spec = parse_cdi_spec(kSpec);
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->kind, "vendor.com/class");
  EXPECT_THAT(spec->edits.env, ElementsAre("ALL=1"));
  ASSERT_EQ(spec->devices.size(), 2u);
  EXPECT_EQ(spec->devices[0].name, "0");
  const CdiEdits& edits = spec->devices[0].edits;
  ASSERT_EQ(edits.device_nodes.size(), 1u);
  const CdiDeviceNode& node = edits.device_nodes[0];
  EXPECT_EQ(node.host_path, "/dev/b");
  EXPECT_EQ(node.type, 'c');
  EXPECT_EQ(node.major, 1);
  EXPECT_EQ(node.file_mode, 0660u);
  EXPECT_EQ(node.permissions, "rw");
  EXPECT_EQ(node.gid, 4u);
  ASSERT_EQ(edits.mounts.size(), 1u);
  EXPECT_EQ(edits.mounts[0].destination, "/lib/y");
  ASSERT_EQ(edits.hooks.create_container.size(), 1u);
  EXPECT_EQ(edits.hooks.create_container[0].timeout, 5);
  EXPECT_THAT(edits.additional_gids, ElementsAre(7u));
}

TEST(Cdi, AppendsEditsInTheirOrder) {
  auto spec = parse_cdi_spec(kSpec).value();
  CdiEdits edits = spec.edits;
  edits.append(spec.devices[1].edits);
  edits.append(spec.devices[0].edits);
  EXPECT_THAT(edits.env, ElementsAre("ALL=1", "X=y"));
  EXPECT_EQ(edits.hooks.create_container.size(), 1u);
  EXPECT_FALSE(edits.empty());
  EXPECT_TRUE(CdiEdits().empty());
}

std::string refusal(std::string_view member, std::string_view value) {
  Json document = parse_json(R"({"cdiVersion": "0.5.0", "kind": "v.w/x",
    "devices": [{"name": "d", "containerEdits": {"env": ["A=1"]}}]})")
                      .value();
  document[std::string(member)] = parse_json(fmt::format("[{}]", value)).value()[0];
  auto spec = parse_cdi_spec(to_json(document));
  return spec ? std::string("taken") : spec.error().message();
}

TEST(Cdi, RefusesWhatIsMalformed) {
  EXPECT_EQ(refusal("kind", "\"v.w/x\""), "taken");
  EXPECT_THAT(refusal("cdiVersion", "\"9.9.9\""), HasSubstr("invalid CDI version \"9.9.9\""));
  for (std::string_view kind : {"\"\"", "\"v\"", "\"v/\"", "\"1v/x\"", "\"v/x y\"", "\"v./x\""})
    EXPECT_THAT(refusal("kind", kind), HasSubstr("invalid kind")) << kind;
  EXPECT_THAT(refusal("devices", "[]"), HasSubstr("no devices"));
  EXPECT_THAT(refusal("devices", R"([{"name": "-", "containerEdits": {"env": ["A=1"]}}])"),
              HasSubstr("invalid device name"));
  EXPECT_THAT(refusal("devices", R"([{"name": "d"}])"), HasSubstr("empty device edits"));
  constexpr const char* device = R"({"name": "d", "containerEdits": {"env": ["A=1"]}})";
  EXPECT_THAT(refusal("devices", fmt::format("[{}, {}]", device, device)),
              HasSubstr("multiple device \"d\""));
  EXPECT_THAT(refusal("more", "1"), HasSubstr("unknown member \"more\""));
  EXPECT_THAT(refusal("containerEdits", R"({"env": ["=1"]})"), HasSubstr("invalid environment variable"));
  EXPECT_THAT(refusal("containerEdits", R"({"deviceNodes": [{"path": "/a", "type": "x"}]})"),
              HasSubstr("invalid type"));
  EXPECT_THAT(refusal("containerEdits", R"({"additionalGids": [-1]})"), HasSubstr("additionalGids"));
  EXPECT_THAT(refusal("containerEdits", R"({"hooks": {"a": 1}})"), HasSubstr("hooks must be a list"));
  EXPECT_FALSE(parse_cdi_spec(""));
  EXPECT_FALSE(parse_cdi_spec("{"));
  EXPECT_FALSE(parse_cdi_spec("- a\n- b\n"));
}

TEST(Cdi, Names) {
  for (const char* name :
       {"vendor.com/class=name", "nvidia.com/gpu=0", "a/b=c:d", "nvidia.com/gpu=GPU-1_2.3"})
    EXPECT_TRUE(is_cdi_name(name)) << name;
  for (const char* name : {"/dev/a", "a=b", "a/b", "a/b=", "a/=c", "/b=c", "a/b=c:", "a b/c=d", "1a/b=c"})
    EXPECT_FALSE(is_cdi_name(name)) << name;
}

}  // namespace
}  // namespace berth::spec
