// Dockerfile to plan: scopes of variables, stages, configuration, history, and what is refused.
#include "build/frontend/plan.h"

#include <gtest/gtest.h>

namespace berth::build {
namespace {

using List = std::vector<std::string>;

PlanOptions options() {
  PlanOptions options;
  options.platform = spec::Platform::host();
  return options;
}

KnownImages images(spec::ImageConfig busybox = {}) {
  busybox.platform = spec::Platform::host();
  if (busybox.config.cmd.empty()) busybox.config.cmd = {"sh"};
  KnownImages known;
  const auto config = std::make_shared<const spec::ImageConfig>(busybox);
  const Digest digest = Digest::from_hex(std::string(64, 'a'));
  known.emplace(ImageName{"busybox", spec::Platform::host().str()}, ImageFacts{digest, digest, config});
  return known;
}

/// The plan, or a failed expectation.
BuildPlan planned(std::string_view text, const PlanOptions& with = options(),
                  const KnownImages& known = images()) {
  auto file = spec::parse_dockerfile(text);
  EXPECT_TRUE(file) << file.error().message;
  if (!file) return {};
  auto outcome = plan_build(*file, with, known);
  EXPECT_TRUE(outcome) << outcome.error().message;
  if (!outcome || !std::holds_alternative<BuildPlan>(*outcome)) {
    ADD_FAILURE() << "no plan";
    return {};
  }
  return std::move(std::get<BuildPlan>(*outcome));
}

std::string problem(std::string_view text, const PlanOptions& with = options()) {
  auto file = spec::parse_dockerfile(text);
  if (!file) return "not parsed: " + file.error().message;
  auto outcome = plan_build(*file, with, images());
  return outcome ? "planned" : outcome.error().message;
}

/// The op of the last vertex of its kind.
template <class T>
T last(const BuildPlan& plan) {
  for (size_t i = plan.graph.size(); i-- > 0;) {
    if (const T* op = std::get_if<T>(&plan.graph.at(static_cast<VertexId>(i)).op)) return *op;
  }
  ADD_FAILURE() << "no such op";
  return {};
}

template <class T>
size_t count(const BuildPlan& plan) {
  size_t found = 0;
  for (size_t i = 0; i < plan.graph.size(); ++i)
    found += std::holds_alternative<T>(plan.graph.at(static_cast<VertexId>(i)).op);
  return found;
}

TEST(Plan, SetsTheConfiguration) {
  const auto plan = planned(
      "FROM busybox\nENV A=1 B=$A\nENV C=$A-${B:-none}\nLABEL x.y=\"$C\"\nWORKDIR /srv\nWORKDIR app\nUSER "
      "me:staff\n"
      "EXPOSE 80 7000-7002/udp $A\nVOLUME /data\nENTRYPOINT [\"/bin/app\"]\nSTOPSIGNAL SIGQUIT\nSHELL "
      "[\"/bin/ash\", \"-c\"]\n"
      "HEALTHCHECK --interval=90s CMD true\nMAINTAINER me\nONBUILD RUN x\n");
  const auto& config = plan.config.config;
  EXPECT_EQ(config.env, (List{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1",
                              "B=", "C=1-none"}));
  EXPECT_EQ(config.labels.at("x.y"), "1-none");
  EXPECT_EQ(config.working_dir, "/srv/app");
  EXPECT_EQ(config.user, "me:staff");
  EXPECT_EQ(config.exposed_ports,
            (std::set<std::string>{"80/tcp", "7000/udp", "7001/udp", "7002/udp", "1/tcp"}));
  EXPECT_EQ(config.volumes, (std::set<std::string>{"/data"}));
  EXPECT_EQ(config.entrypoint, (List{"/bin/app"}));
  EXPECT_TRUE(config.cmd.empty()) << "ENTRYPOINT resets the base's CMD";
  EXPECT_EQ(config.stop_signal, "SIGQUIT");
  EXPECT_EQ(config.shell, (List{"/bin/ash", "-c"}));
  EXPECT_EQ(config.healthcheck->interval, 90'000'000'000);
  EXPECT_EQ(plan.config.author, "me");
  EXPECT_EQ(config.on_build, (List{"RUN x"}));
  EXPECT_EQ(std::get<MakeDirectoryOp>(plan.graph.at(plan.target).op).path, "/srv/app");
}

TEST(Plan, KeepsCmdThatTheStageSet) {
  EXPECT_EQ(planned("FROM busybox\nCMD a b\nENTRYPOINT c\n").config.config.cmd,
            (List{"/bin/sh", "-c", "a b"}));
  EXPECT_EQ(planned("FROM busybox\n").config.config.cmd, (List{"sh"}));
  EXPECT_TRUE(planned("FROM busybox\nCMD []\n").config.config.cmd.empty());
}

TEST(Plan, ScopesArguments) {
  PlanOptions with = options();
  with.build_args = {{"GIVEN", "outside"}, {"UNUSED", "x"}, {"http_proxy", "http://p"}};
  const auto plan = planned(
      "ARG GIVEN=default\nARG BASE=busybox\nARG GLOBAL=g\nFROM $BASE AS one\nARG GIVEN\nARG "
      "LOCAL=${GIVEN}-l\nARG GLOBAL\n"
      "ENV GIVEN=env\nRUN one\nFROM one\nRUN two\nFROM busybox\nARG BASE\nRUN three $GIVEN\nCOPY --from=1 / "
      "/\n",
      with);
  std::vector<RunOp> runs;
  for (size_t i = 0; i < plan.graph.size(); ++i) {
    if (const auto* run = std::get_if<RunOp>(&plan.graph.at(static_cast<VertexId>(i)).op))
      runs.push_back(*run);
  }
  ASSERT_EQ(runs.size(), 3u);
  const auto has = [](const RunOp& run, const std::string& assignment) {
    return std::find(run.env.begin(), run.env.end(), assignment) != run.env.end();
  };
  EXPECT_TRUE(has(runs[0], "GIVEN=env")) << "ENV comes before ARG";
  EXPECT_FALSE(has(runs[0], "GIVEN=outside"));
  EXPECT_TRUE(has(runs[0], "LOCAL=outside-l"));
  EXPECT_TRUE(has(runs[0], "GLOBAL=g"));
  EXPECT_FALSE(has(runs[0], "BASE=busybox"));
  EXPECT_TRUE(has(runs[1], "LOCAL=outside-l")) << "FROM a stage takes its ARGs";
  EXPECT_EQ(runs[2].args, (List{"/bin/sh", "-c", "three $GIVEN"}));
  EXPECT_TRUE(has(runs[2], "BASE=busybox"));
  EXPECT_FALSE(has(runs[2], "LOCAL=outside-l"));
  EXPECT_EQ(runs[0].quiet_env, (List{"http_proxy=http://p", "HTTP_PROXY=http://p"}));
  ASSERT_EQ(plan.warnings.size(), 1u);
  EXPECT_EQ(plan.warnings[0].text, "[Warning] One or more build-args [UNUSED] were not consumed");
}

TEST(Plan, KnowsThePlatformArguments) {
  const auto plan = planned(
      "FROM --platform=$BUILDPLATFORM busybox\nARG TARGETARCH TARGETPLATFORM TARGETSTAGE\nENV X=$TARGETARCH "
      "Y=$TARGETPLATFORM\nENV Z=$TARGETOS$TARGETSTAGE");
  const auto host = spec::Platform::host();
  const auto& env = plan.config.config.env;
  EXPECT_EQ(env.at(1), "X=" + host.architecture);
  EXPECT_EQ(env.at(2), "Y=" + host.str());
  EXPECT_EQ(env.at(3), "Z=default") << "not declared, not set";
}

TEST(Plan, LeavesOutStagesThatAreNotNeeded) {
  const std::string text =
      "FROM busybox AS a\nRUN a\nFROM nowhere AS unused\nRUN b\nFROM busybox AS c\nCOPY --from=a /x /\nFROM "
      "c AS last\nRUN d";
  auto plan = planned(text);
  EXPECT_EQ(count<RunOp>(plan), 2u);
  EXPECT_EQ(plan.steps.size(), 6u);
  PlanOptions with = options();
  with.target = "A";
  plan = planned(text, with);
  EXPECT_EQ(plan.steps.size(), 2u);
  EXPECT_EQ(plan.steps[0].stage, "a");
  with.target = "lost";
  EXPECT_EQ(problem(text, with), "target stage \"lost\" could not be found (did you mean last?)");
}

TEST(Plan, AsksForTheImagesItNeeds) {
  const auto file = spec::parse_dockerfile(
      "FROM one AS a\nFROM two\nCOPY --from=a /x /\nCOPY --from=three:1 /y /\nRUN "
      "--mount=from=four,target=/m x\n");
  const auto outcome = plan_build(*file, options(), {});
  ASSERT_TRUE(outcome);
  const auto& missing = std::get<std::vector<MissingImage>>(*outcome);
  List names;
  for (const auto& image : missing) names.push_back(image.name.reference);
  EXPECT_EQ(names, (List{"two", "three:1", "four", "one"}));
  EXPECT_EQ(missing[0].lines, (spec::LineRange{2, 2}));
}

TEST(Plan, RunsTheTriggersOfTheBase) {
  spec::ImageConfig base;
  base.config.on_build = {"ENV FROM_TRIGGER=1", "COPY . /app"};
  auto plan = planned("FROM busybox\nRUN x", options(), images(base));
  ASSERT_EQ(plan.steps.size(), 4u);
  EXPECT_TRUE(plan.steps[1].onbuild);
  EXPECT_EQ(plan.steps[2].instruction, "COPY . /app");
  EXPECT_TRUE(plan.config.config.on_build.empty());
  EXPECT_EQ(count<ContextOp>(plan), 1u);
  plan = planned("FROM busybox AS a\nONBUILD ENV X=1\nFROM a\n", options(), images());
  EXPECT_EQ(plan.config.config.env.back(), "X=1");
  base.config.on_build = {"BOGUS"};
  EXPECT_FALSE(plan_build(*spec::parse_dockerfile("FROM busybox"), options(), images(base)));
}

TEST(Plan, WritesHistoryAsBuildKit) {
  PlanOptions with = options();
  with.build_args = {{"V", "2"}};
  const auto plan = planned(
      "FROM busybox\nARG V\nRUN echo $V\nCOPY --chown=1:2 a b /c/\nCMD [\"a b\", \"c\"]\nENTRYPOINT "
      "x\nWORKDIR /w\nENV A=b\nEXPOSE 80\nVOLUME /a /b\nHEALTHCHECK --timeout=1500ms CMD x y\nADD "
      "http://h/f.tgz /d/\n",
      with);
  List lines;
  for (const auto& entry : plan.history) lines.push_back(entry.created_by);
  EXPECT_EQ(lines, (List{"ARG V=2", "RUN |1 V=2 /bin/sh -c echo $V # buildkit",
                         "COPY --chown=1:2 a b /c/ # buildkit", "CMD [\"a b\" \"c\"]",
                         "ENTRYPOINT [\"/bin/sh\" \"-c\" \"x\"]", "WORKDIR /w", "ENV A=b", "EXPOSE [80/tcp]",
                         "VOLUME [/a /b]",
                         "HEALTHCHECK {Test:[CMD-SHELL x y] Interval:0s Timeout:1.5s StartPeriod:0s "
                         "StartInterval:0s Retries:0}",
                         "ADD http://h/f.tgz /d/ # buildkit"}));
}

TEST(Plan, DecidesCopies) {
  auto copy = last<CopyOp>(planned("FROM busybox\nWORKDIR /w\nCOPY --chmod=755 ../a/./b* sub/"));
  EXPECT_EQ(copy.destination, "/w/sub/");
  EXPECT_EQ(copy.sources[0].path, "/a/b*");
  EXPECT_TRUE(copy.sources[0].wildcards);
  EXPECT_EQ(copy.sources[0].unpack, Unpack::No);
  EXPECT_FALSE(copy.sources[0].keep_owner);
  copy = last<CopyOp>(planned("FROM busybox\nWORKDIR /w\nCOPY a ."));
  EXPECT_EQ(copy.destination, "/w/");
  copy = last<CopyOp>(planned("FROM busybox\nCOPY a /"));
  EXPECT_EQ(copy.destination, "/");
  copy = last<CopyOp>(
      planned("FROM busybox AS s\nFROM busybox\nENV S=x\nCOPY --from=s --parents $S/./y/*.c /z/"));
  EXPECT_EQ(copy.sources[0].path, "/x");
  EXPECT_EQ(copy.sources[0].parents_pattern, "y/*.c");
  EXPECT_TRUE(copy.sources[0].keep_owner);
  auto plan =
      planned("FROM busybox\nENV N=v\nCOPY <<A <<'B' /d/\n$N\\$N\nA\n$N\nB\nADD x.tar http://h/y?q=1 /d/\n");
  copy = last<CopyOp>(plan);
  EXPECT_EQ(copy.sources[0].unpack, Unpack::LocalArchives);
  EXPECT_EQ(copy.sources[1].path, "/y");
  EXPECT_EQ(copy.sources[1].mode, 0600u);
  EXPECT_EQ(last<HttpOp>(plan).file_name, "y");
  EXPECT_EQ(last<DocumentOp>(plan).content, "$N\n");
  plan = planned("FROM busybox\nADD --keep-git-dir https://h/x.git#v1:sub /d\n");
  EXPECT_EQ(last<GitOp>(plan).place, (spec::GitPlace{"https://h/x.git", "v1", "sub"}));
  EXPECT_TRUE(last<GitOp>(plan).keep_git_directory);
  EXPECT_EQ(last<CopyOp>(plan).sources[0].path, "/");
}

TEST(Plan, WordsHistoryAsTheClassicBuilder) {
  PlanOptions with = options();
  with.step_images = true;
  with.build_args = {{"A", "given"}};
  const auto plan = planned(
      "FROM busybox\nARG A=default\nENV B=c\nRUN x\nCOPY f /g\nHEALTHCHECK --retries=10 CMD [\"x\"]\nSHELL "
      "[\"s\"]\n"
      "WORKDIR /w\n",
      with);
  List words;
  for (const auto& entry : plan.history) {
    EXPECT_EQ(entry.wording, Wording::Classic);
    words.push_back(entry.created_by + (entry.behind_sources ? "SOURCES" + *entry.behind_sources : ""));
  }
  EXPECT_EQ(words,
            (List{"/bin/sh -c #(nop)  ARG A=default", "/bin/sh -c #(nop)  ENV B=c", "|1 A=given /bin/sh -c x",
                  "/bin/sh -c #(nop) COPY SOURCES in /g ",
                  "/bin/sh -c #(nop)  HEALTHCHECK &{[\"CMD\" \"x\"] \"0s\" \"0s\" \"0s\" \"0s\" '\\n'}",
                  "s #(nop)  SHELL [s]", "s #(nop) WORKDIR /w"}));
}

TEST(Plan, DecidesRuns) {
  auto run = last<RunOp>(
      planned("FROM busybox\nWORKDIR /w\nUSER u\nSHELL [\"/bin/ash\",\"-ec\"]\nRUN --network=none a && b"));
  EXPECT_EQ(run.args, (List{"/bin/ash", "-ec", "a && b"}));
  EXPECT_EQ(run.cwd, "/w");
  EXPECT_EQ(run.user, "u");
  EXPECT_EQ(run.network, StepNetwork::None);
  run = last<RunOp>(planned("FROM busybox\nRUN <<EOF\necho $HOME\nEOF\n"));
  EXPECT_EQ(run.args, (List{"/bin/sh", "-c", "echo $HOME\n"}));
  run = last<RunOp>(planned("FROM busybox\nRUN <<EOF\n#!/usr/bin/env python\nprint()\nEOF\n"));
  EXPECT_EQ(run.args, (List{"/dev/pipes/EOF"}));
  EXPECT_EQ(run.script->content, "#!/usr/bin/env python\nprint()\n");
  run = last<RunOp>(planned("FROM busybox\nRUN cat <<A > /x <<B\n1\nA\n2\nB\n"));
  EXPECT_EQ(run.args.back(), "cat <<A > /x <<B\n1\nA\n2\nB");
  run =
      last<RunOp>(planned("FROM busybox\nWORKDIR /w\nRUN --mount=type=cache,target=c "
                          "--mount=type=secret,id=tok --mount=target=/ctx,source=sub x"));
  ASSERT_EQ(run.mounts.size(), 3u);
  EXPECT_EQ(run.mounts[0].target, "/w/c");
  EXPECT_EQ(run.mounts[0].mount.id, "/w/c");
  EXPECT_EQ(run.mounts[1].target, "/run/secrets/tok");
  EXPECT_EQ(run.mounts[2].mount.source, "/sub");
  EXPECT_EQ(run.mounts[2].input, 0u);
}

TEST(Plan, RefusesWhatCannotBe) {
  EXPECT_EQ(problem("FROM $NONE"), "base name ($NONE) should not be blank");
  EXPECT_NE(problem("FROM Bad_Ref:"), "planned");
  EXPECT_EQ(problem("FROM busybox AS a\nCOPY --from=a /x /"),
            "invalid from flag value a: refers to current build stage");
  EXPECT_EQ(problem("FROM busybox\nCOPY --from=0 /x /"),
            "invalid from flag value 0: refers to current build stage");
  EXPECT_EQ(problem("FROM busybox\nCOPY --from=7 /x /"), "invalid from flag value 7: index out of bounds");
  EXPECT_EQ(problem("FROM busybox AS a\nCOPY --from=b /x /\nFROM a AS b"),
            "cannot copy from stage \"b\", it needs to be defined before current stage \"a\"");
}

TEST(Plan, WordsItsErrors) {
  EXPECT_EQ(
      problem("FROM busybox\nCOPY a b c"),
      "When using COPY with more than one source file, the destination must be a directory and end with a /");
  EXPECT_EQ(problem("FROM busybox\nCOPY --chmod=999 a b").substr(0, 32), "invalid chmod parameter: '999'. ");
  EXPECT_EQ(problem("FROM busybox\nCOPY http://x/y /z"), "source can't be a URL for COPY");
  EXPECT_EQ(problem("FROM busybox\nCOPY git@h:x.git /z"), "source can't be a git ref for COPY");
  EXPECT_EQ(problem("FROM busybox\nADD https://h/x.git#--upload-pack=x /z"),
            "https://h/x.git#--upload-pack=x is no place in a repository");
  EXPECT_EQ(problem("FROM busybox\nADD --checksum=sha256:x git@h:x.git /z"),
            "the checksum of a repository is a commit, not sha256:x");
  EXPECT_EQ(problem("FROM busybox\nADD --checksum=sha256:x a /z"),
            "checksum requires HTTP(S) or Git sources");
  EXPECT_EQ(problem("FROM busybox\nADD http://h/ /z/"), "cannot determine filename from url: http://h/");
  EXPECT_EQ(problem("FROM busybox\nENV A=${B:?needed}"), "failed to process \"${B:?needed}\": B: needed");
  EXPECT_EQ(problem("FROM busybox\nEXPOSE 99999"), "invalid containerPort: 99999");
  EXPECT_EQ(problem("FROM busybox\nEXPOSE 1/icmp"), "invalid port: \"1/icmp\": invalid proto: icmp");
  EXPECT_EQ(problem("FROM busybox\nSTOPSIGNAL foo"), "invalid signal: foo");
  EXPECT_NE(problem("FROM busybox\nRUN --security=insecure x").find("security.insecure is not allowed"),
            std::string::npos);
  EXPECT_EQ(problem("FROM busybox\nRUN --mount=type=cache,target=/ x"), "invalid mount target \"/\"");
}

TEST(Plan, StaysSmallOnHostileInput) {
  std::string doubling = "FROM busybox\nENV A=xxxxxxxxxxxxxxxx\n";
  for (int i = 0; i < 100; ++i) doubling += "ENV A=$A$A\n";
  EXPECT_NE(problem(doubling).find("expansion exceeds"), std::string::npos);
  std::string chain = "FROM busybox AS s0\n";
  for (int i = 1; i < 600; ++i)
    chain += "FROM s" + std::to_string(i - 1) + " AS s" + std::to_string(i) + "\n";
  EXPECT_NE(problem(chain).find("more than 500 stages"), std::string::npos);
  spec::ImageConfig base;
  base.config.on_build = List(5000, "RUN x");
  EXPECT_FALSE(plan_build(*spec::parse_dockerfile("FROM busybox"), options(), images(base)));
}

TEST(Graph, DescribesEveryDifference) {
  RunOp a{.args = {"a", "b"}, .env = {"X=1"}};
  RunOp b = a;
  EXPECT_EQ(describe(a), describe(b));
  b.args = {"ab"};
  EXPECT_NE(describe(a), describe(b));
  b = a;
  b.quiet_env = {"http_proxy=x"};
  EXPECT_EQ(describe(a), describe(b)) << "proxies do not count";
  b = a;
  b.env = {"X=2"};
  EXPECT_NE(describe(a), describe(b));
  CopyOp copy{.destination = "/a"};
  CopyOp other = copy;
  other.owner = Owner{"1"};
  EXPECT_NE(describe(copy), describe(other));
}

}  // namespace
}  // namespace berth::build
