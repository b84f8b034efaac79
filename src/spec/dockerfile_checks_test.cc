#include "spec/dockerfile_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/format.h"
#include "base/json.h"
#include "spec/dockerfile_calls.h"

namespace berth::spec {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// "line Rule: detail" of each finding.
std::vector<std::string> check(std::string_view text, const std::function<void(CheckInput&)>& change = {}) {
  auto file = parse_dockerfile(text);
  if (!file) return {file.error().message};
  auto config = CheckConfig::parse(file->check);
  if (!config) return {config.error().message()};
  CheckInput input{.text = text, .file = *file, .config = *config};
  input.platform = {.architecture = "amd64", .os = "linux"};
  input.environment = [](const std::string& image) -> std::optional<std::vector<std::string>> {
    if (image == "unknown") return std::nullopt;
    return std::vector<std::string>{"BASE=1"};
  };
  if (change) change(input);
  std::vector<std::string> told;
  for (const CheckFinding& finding : check_dockerfile(input))
    told.push_back(fmt::format("{} {}: {}", finding.lines.first, finding.rule->name, finding.detail));
  return told;
}

TEST(DockerfileChecks, AGoodFileHasNone) {
  EXPECT_THAT(
      check("# syntax=docker/dockerfile:1\nARG TAG=1\nFROM alpine:$TAG AS base\nARG V\nENV A=$V B=$BASE\n"
            "WORKDIR /a\nWORKDIR b\nLABEL x=\"$A\"\nEXPOSE 80/tcp 81\nRUN echo $anything\n"
            "FROM --platform=$BUILDPLATFORM base\nCOPY --from=base $A /x\nSTOPSIGNAL $A\nUSER $A\n"
            "CMD [\"x\"]\nENTRYPOINT [\"y\"]\n"),
      IsEmpty());
}

TEST(DockerfileChecks, OfStagesAndKeywords) {
  EXPECT_THAT(check("FROM x AS Build\n"),
              ElementsAre("1 StageNameCasing: Stage name 'Build' should be lowercase"));
  EXPECT_THAT(check("FROM x as build\n"),
              ElementsAre("1 FromAsCasing: 'as' and 'FROM' keywords' casing do not match"));
  EXPECT_THAT(check("from x AS build\nrun x\n"),
              ElementsAre("1 FromAsCasing: 'AS' and 'from' keywords' casing do not match"));
  EXPECT_THAT(check("FROM x\nRUN a \\\n\n  b\n"),
              ElementsAre("2 NoEmptyContinuation: Empty continuation line"));
  EXPECT_THAT(check("FROM x\nRUN a\nrun b\nRun c\n"),
              ElementsAre("3 ConsistentInstructionCasing: Command 'run' should match the case of the command "
                          "majority (uppercase)",
                          "4 ConsistentInstructionCasing: Command 'Run' should match the case of the command "
                          "majority (uppercase)"));
  EXPECT_THAT(check("FROM x AS a\nFROM x AS a\n"),
              ElementsAre("2 DuplicateStageName: Duplicate stage name \"a\", stage names should be unique"));
  EXPECT_THAT(check("FROM x AS context\n"),
              ElementsAre(HasSubstr("ReservedStageName: Stage name should not use the "
                                    "same name as reserved stage \"context\"")));
}

TEST(DockerfileChecks, OfFrom) {
  EXPECT_THAT(
      check("ARG VERSION=1\nFROM x:${VERSIO}\n"),
      ElementsAre("2 InvalidDefaultArgInFrom: Default value for ARG x:${VERSIO} results in empty or invalid "
                  "base image name",
                  "2 UndefinedArgInFrom: FROM argument 'VERSIO' is not declared (did you mean VERSION?)"));
  EXPECT_THAT(check("ARG TAG\nFROM x:${TAG}\n", [](auto& input) { input.build_args["TAG"] = "1"; }),
              ElementsAre(HasSubstr("InvalidDefaultArgInFrom")));
  EXPECT_THAT(
      check("FROM --platform=$TARGETPLATFORM x\n"),
      ElementsAre(HasSubstr(
          "RedundantTargetPlatform: Setting platform to predefined $TARGETPLATFORM in FROM is redundant")));
  EXPECT_THAT(
      check("FROM --platform=linux/arm64 x\n"),
      ElementsAre("1 FromPlatformFlagConstDisallowed: FROM --platform flag should not use constant value "
                  "\"linux/arm64\""));
  EXPECT_THAT(check("FROM --platform=linux/arm64 x AS build-arm64\n"), IsEmpty());
}

TEST(DockerfileChecks, OfVariables) {
  EXPECT_THAT(check("FROM x\nARG NAME=1\nENV A=$NAM\nLABEL a=$nothing-$nothing\n"),
              ElementsAre("3 UndefinedVar: Usage of undefined variable '$NAM' (did you mean $NAME?)",
                          "4 UndefinedVar: Usage of undefined variable '$nothing'"));
  EXPECT_THAT(check("FROM unknown\nENV A=$B\n"), IsEmpty());
  EXPECT_THAT(check("FROM unknown AS u\nFROM u\nENV A=$B\n"), IsEmpty());
  EXPECT_THAT(check("FROM scratch\nENV A=$PATH B=$BASE\n"), ElementsAre(HasSubstr("'$BASE'")));
  EXPECT_THAT(check("FROM x AS a\nENV V=1\nFROM a\nENV A=$V\n"), IsEmpty());
}

TEST(DockerfileChecks, OfInstructions) {
  EXPECT_THAT(check("FROM x\nCMD a\nENTRYPOINT b\n"),
              ElementsAre(HasSubstr("2 JSONArgsRecommended: JSON arguments recommended for CMD to"),
                          HasSubstr("3 JSONArgsRecommended: JSON arguments recommended for ENTRYPOINT to")));
  EXPECT_THAT(check("FROM x\nSHELL [\"sh\", \"-c\"]\nCMD a\n"), IsEmpty());
  EXPECT_THAT(check("FROM x\nMAINTAINER me\n"),
              ElementsAre(HasSubstr("2 MaintainerDeprecated: Maintainer instruction")));
  EXPECT_THAT(
      check("FROM x\nWORKDIR a\nWORKDIR b\n"),
      ElementsAre("2 WorkdirRelativePath: Relative workdir \"a\" can have unexpected results if the base "
                  "image changes"));
  EXPECT_THAT(
      check("FROM x\nCMD [\"a\"]\nRUN x\nCMD [\"b\"]\n"),
      ElementsAre(
          "2 MultipleInstructionsDisallowed: Multiple CMD instructions should not be used in the same "
          "stage because only the last one will be used"));
  EXPECT_THAT(
      check("FROM x\nENV a b\nLABEL c d\n"),
      ElementsAre(
          "2 LegacyKeyValueFormat: \"ENV key=value\" should be used instead of legacy \"ENV key value\" "
          "format",
          HasSubstr("3 LegacyKeyValueFormat: \"LABEL key=value\"")));
  EXPECT_THAT(
      check("FROM x\nARG DB_PASSWORD\nENV ApiKey=1 PUBLIC_KEY=2 MONKEY=3\n"),
      ElementsAre("2 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data (ARG "
                  "\"DB_PASSWORD\")",
                  HasSubstr("3 SecretsUsedInArgOrEnv: Do not use ARG or ENV instructions for sensitive data "
                            "(ENV \"ApiKey\")")));
  EXPECT_THAT(check("FROM x\nEXPOSE 80/TCP\n"),
              ElementsAre("2 ExposeProtoCasing: Defined protocol '80/TCP' in EXPOSE "
                          "instruction should be lowercase"));
  EXPECT_THAT(check("FROM x\nEXPOSE 127.0.0.1:80:80\n"),
              ElementsAre(HasSubstr("2 ExposeInvalidFormat: EXPOSE")));
}

TEST(DockerfileChecks, ExperimentalOnesWhenAskedFor) {
  std::string_view text =
      "# what this is\nFROM x AS base\n\n# also\n\nFROM base\nCOPY ignored.txt $BASE /x/\n";
  auto set = PatternSet::create({"*.txt"});
  ASSERT_TRUE(set);
  EXPECT_THAT(check(text, [&](auto& input) { input.ignored = &*set; }), IsEmpty());
  EXPECT_THAT(
      check(text,
            [&](auto& input) {
              input.ignored = &*set;
              input.config.experimental_all = true;
            }),
      ElementsAre(
          "2 InvalidDefinitionDescription: Comment for FROM should follow the format: `# base "
          "<description>`",
          "7 CopyIgnoredFile: Attempting to Copy file \"ignored.txt\" that is excluded by .dockerignore"));
}

TEST(DockerfileChecks, AreChosenByTheFile) {
  EXPECT_THAT(check("# check=skip=JSONArgsRecommended, StageNameCasing\nFROM x AS B\nCMD a\nMAINTAINER x\n"),
              ElementsAre(HasSubstr("MaintainerDeprecated")));
  EXPECT_THAT(check("# check=skip=all;error=true\nFROM x AS B\nCMD a\n"), IsEmpty());
  auto config = CheckConfig::parse("skip=A;error=true");
  ASSERT_TRUE(config);
  EXPECT_TRUE(config->as_error);
  for (const char* wrong : {"skip", "error=maybe", "other=1"})
    EXPECT_FALSE(CheckConfig::parse(wrong)) << wrong;
  auto file = parse_dockerfile("FROM x\nCMD a\nMAINTAINER m\n");
  ASSERT_TRUE(file);
  auto found = check_dockerfile({.file = *file});
  EXPECT_TRUE(checks_as_error({}, found));
  auto failed = checks_as_error(*config, found);
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().message(),
            "lint violation found for rules: JSONArgsRecommended, MaintainerDeprecated");
}

TEST(DockerfileChecks, OfWhatIsBuiltAlone) {
  std::string_view text =
      "FROM x AS one\nCMD a\nFROM x AS two\nCMD b\nFROM two\nFROM x AS last\nCOPY --from=two /a /b\n";
  EXPECT_EQ(check(text).size(), 2u);
  EXPECT_EQ(check(text, [](auto& input) { input.stages = CheckInput::Stages::Needed; }).size(), 1u);
  EXPECT_THAT(check(text, [](auto& input) { input.target = "one"; }), ElementsAre(HasSubstr("2 JSON")));
  EXPECT_THAT(check(text, [](auto& input) { input.target = "none"; }), IsEmpty());
}

TEST(DockerfileCalls, AnswersOfChecks) {
  std::string_view text = "FROM x\nCMD a\n";
  auto file = parse_dockerfile(text);
  ASSERT_TRUE(file);
  CheckInput input{.text = text, .file = *file};
  auto answer = call_check("Dockerfile", text, &input, std::nullopt);
  EXPECT_EQ(answer.status, 1);
  EXPECT_EQ(check_summary(answer), "Check complete, 1 warning has been found!\n");
  EXPECT_THAT(answer.text, HasSubstr("\nWARNING: JSONArgsRecommended - "
                                     "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"));
  EXPECT_THAT(answer.text, HasSubstr("Dockerfile:2\n"));
  auto json = parse_json(answer.json);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["warnings"][0]["location"]["ranges"][0]["start"]["line"], 2);
  EXPECT_EQ((*json)["sources"][0]["filename"], "Dockerfile");
  auto broken = call_check("Dockerfile", "FRUM x\n", nullptr, parse_dockerfile("FRUM x\n").error());
  EXPECT_EQ(broken.status, 1);
  EXPECT_THAT(broken.error, HasSubstr("FRUM"));
  EXPECT_EQ(check_summary(broken), "");
}

TEST(DockerfileCalls, TargetsAndOutlines) {
  std::string_view text =
      "# TAG which one\nARG TAG=1\nFROM x:$TAG AS base\n# V of it\nARG V\n# app is built here\nFROM base AS "
      "app\n"
      "RUN --mount=type=secret,id=s,required --mount=type=ssh true\nFROM scratch AS other\nARG W\n";
  auto file = parse_dockerfile(text);
  ASSERT_TRUE(file);
  auto targets = call_targets(text, *file);
  EXPECT_EQ(
      targets.text,
      "TARGET          DESCRIPTION\nbase            \napp             is built here\nother (default) \n");
  auto outline = call_outline(text, *file, "app", {{"V", "2"}});
  ASSERT_TRUE(outline);
  EXPECT_THAT(outline->text, HasSubstr("TARGET:      app\nDESCRIPTION: is built here\n"));
  auto json = parse_json(outline->json);
  ASSERT_TRUE(json);
  EXPECT_EQ((*json)["args"].size(), 2u);
  EXPECT_EQ((*json)["args"][0]["description"], "which one");
  EXPECT_EQ((*json)["args"][1]["value"], "2");
  EXPECT_EQ((*json)["secrets"][0]["required"], true);
  EXPECT_EQ((*json)["ssh"][0]["name"], "default");
  EXPECT_FALSE(call_outline(text, *file, "none", {}));
}

}  // namespace
}  // namespace berth::spec
