// The pure parts of compose: reading, interpolating, normalising, merging, and what containers are created
// from.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "apps/berth/compose/dotenv.h"
#include "apps/berth/compose/graph.h"
#include "apps/berth/compose/interpolation.h"
#include "apps/berth/compose/merge.h"
#include "apps/berth/compose/normalise.h"
#include "apps/berth/compose/remote_files.h"
#include "apps/berth/compose/request.h"
#include "apps/berth/compose/watch.h"
#include "base/json.h"

namespace berth::cli::compose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Value yaml(std::string_view text) {
  auto value = parse_yaml(text, "compose.yaml");
  EXPECT_TRUE(value) << value.error().message();
  return value ? *value : Value();
}

std::string json(const Value& value) {
  return to_json(to_json_value(value));
}

std::string expand(std::string_view text, std::set<std::string>* unset = nullptr) {
  std::map<std::string, std::string> known{{"A", "one"}, {"EMPTY", ""}};
  std::set<std::string> missing;
  auto result = interpolate(
      text,
      [&](const std::string& name) -> std::optional<std::string> {
        auto found = known.find(name);
        return found == known.end() ? std::nullopt : std::optional(found->second);
      },
      missing);
  if (unset != nullptr) *unset = missing;
  return result ? *result : "error: " + result.error().message();
}

TEST(ComposeYaml, AnchorsMergeKeysAndTypes) {
  Value value = yaml("x: &x {a: 1, b: two}\ny: {<<: *x, b: '3'}\nz: [~, true, 1.5, '1']\n");
  EXPECT_EQ(json(value), R"({"x":{"a":1,"b":"two"},"y":{"a":1,"b":"3"},"z":[null,true,1.5,"1"]})");
}

TEST(ComposeYaml, ComplaintsHaveAPlace) {
  EXPECT_THAT(parse_yaml("a: 1\na: 2\n", "f.yaml").error().message(),
              HasSubstr("f.yaml:2:1: mapping key \"a\""));
  EXPECT_THAT(parse_yaml("a: [1\n", "f.yaml").error().message(), HasSubstr("f.yaml:"));
  std::string deep(200, '[');
  EXPECT_FALSE(parse_yaml(deep + std::string(200, ']'), "f.yaml"));
}

TEST(ComposeYaml, WhatIsWrittenIsReadBackTheSame) {
  std::string text = "a: \"1\"\nb:\n  - x: \"yes\"\n    y: \"a: b\"\n  - plain\nc: {}\nd: \"line\\nline\"\n";
  Value value = yaml(text);
  EXPECT_EQ(json(yaml(to_yaml(value))), json(value));
}

TEST(ComposeInterpolation, AllForms) {
  EXPECT_EQ(expand("$A-${A}-$$A"), "one-one-$A");
  EXPECT_EQ(expand("${EMPTY:-d}${EMPTY-d}${NO-d}${NO:-${A}}"), "ddone");
  EXPECT_EQ(expand("${A:+r}${EMPTY:+r}${EMPTY+r}"), "rr");
  EXPECT_THAT(expand("${NO:?why}"), HasSubstr("required variable NO is missing a value: why"));
  EXPECT_THAT(expand("${A"), HasSubstr("invalid interpolation format"));
  EXPECT_EQ(expand("$1 $(x) $"), "$1 $(x) $");
  std::set<std::string> unset;
  EXPECT_EQ(expand("[$NO]", &unset), "[]");
  EXPECT_THAT(unset, ElementsAre("NO"));
}

TEST(ComposeDotenv, QuotesCommentsAndReferences) {
  auto none = [](const std::string&) { return std::optional<std::string>(); };
  auto variables =
      parse_dotenv("# c\nexport A=1\nB='$A'\nC=\"$A\\n\"\nD=x # y\nE\nF=\"two\nlines\"\n", ".env", none);
  ASSERT_TRUE(variables) << variables.error().message();
  std::map<std::string, std::string> values;
  for (auto& variable : *variables) values[variable.name] = variable.value.value_or("(none)");
  EXPECT_EQ(values["A"], "1");
  EXPECT_EQ(values["B"], "$A");
  EXPECT_EQ(values["C"], "1\n");
  EXPECT_EQ(values["D"], "x");
  EXPECT_EQ(values["E"], "(none)");
  EXPECT_EQ(values["F"], "two\nlines");
  EXPECT_THAT(parse_dotenv("A='open\n", ".env", none).error().message(), HasSubstr("line 1"));
}

TEST(ComposeNormalise, ShortFormsBecomeLong) {
  Value file = yaml(R"(
services:
  web:
    build: ./app
    command: run "two words"
    environment: [A=1, B]
    ports: ["127.0.0.1:8000-8001:80-81/udp"]
    volumes: ["./src:/src:ro", "data:/data", "/anonymous"]
    depends_on: [db]
)");
  auto done = normalise_file(file, "/project");
  ASSERT_TRUE(done) << done.error().message();
  Json web = to_json_value(file)["services"]["web"];
  EXPECT_EQ(web["build"]["context"], "/project/app");
  EXPECT_EQ(web["command"], Json::array({"run", "two words"}));
  EXPECT_EQ(web["environment"]["B"], nullptr);
  EXPECT_EQ(web["ports"][1]["published"], "8001");
  EXPECT_EQ(web["volumes"][0]["source"], "/project/src");
  EXPECT_EQ(web["volumes"][0]["read_only"], true);
  EXPECT_EQ(web["volumes"][1]["type"], "volume");
  EXPECT_FALSE(web["volumes"][2].contains("source"));
  EXPECT_EQ(web["depends_on"]["db"]["condition"], "service_started");
}

TEST(ComposeMerge, ByWhatThingsAreFor) {
  Value base = yaml(
      "{command: [a], dns: [x], volumes: [{target: /a, source: one}], environment: {A: '1', B: '2'}, cpus: "
      "1}");
  Value over = yaml(
      "{command: [b, c], dns: [y], volumes: [{target: /a, source: two}], environment: {B: '3'}, cpus: !reset "
      "null}");
  Value merged = merge_services(std::move(base), std::move(over));
  drop_reset(merged);
  EXPECT_EQ(
      json(merged),
      R"({"command":["b","c"],"dns":["x","y"],"environment":{"A":"1","B":"3"},"volumes":[{"source":"two","target":"/a"}]})");
}

TEST(ComposeGraph, DependenciesComeFirstAndFailuresStop) {
  Graph graph{{"a", {"b", "c"}}, {"b", {"c"}}, {"c", {"gone"}}};
  std::mutex mutex;
  std::string order;
  auto work = [&](const std::string& name) -> Outcome<void> {
    std::lock_guard lock(mutex);
    order += name;
    return {};
  };
  EXPECT_TRUE(run_graph(graph, 8, work));
  EXPECT_EQ(order, "cba");
  order.clear();
  EXPECT_TRUE(run_graph(reversed(graph), 8, work));
  EXPECT_EQ(order, "abc");
  auto failing = run_graph(graph, 8, [](const std::string& name) -> Outcome<void> {
    return name == "b" ? Outcome<void>(Failure::plain("no")) : Outcome<void>();
  });
  ASSERT_FALSE(failing);
  EXPECT_EQ(failing.error().message, "no");
}

TEST(ComposeWatch, IgnorePatterns) {
  EXPECT_TRUE(is_ignored({"node_modules/"}, "a/node_modules/x.js"));
  EXPECT_TRUE(is_ignored({"*.tmp"}, "deep/file.tmp"));
  EXPECT_FALSE(is_ignored({"*.tmp"}, "file.txt"));
  EXPECT_FALSE(is_ignored({}, "file.txt"));
}

TEST(ComposeRemote, PlacesElsewhere) {
  EXPECT_TRUE(RemoteFiles::is_remote("oci://h/x"));
  EXPECT_TRUE(RemoteFiles::is_remote("https://h/compose.yaml"));
  EXPECT_FALSE(RemoteFiles::is_remote("../other/compose.yaml"));
}

}  // namespace
}  // namespace berth::cli::compose
