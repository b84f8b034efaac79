// The Dockerfile parser: lines, directives, heredocs, every instruction, messages, and hostile input.
#include "spec/dockerfile.h"

#include <gtest/gtest.h>

#include "spec/dockerfile_mount.h"

namespace berth::spec {
namespace {

using List = std::vector<std::string>;

Dockerfile parsed(std::string_view text) {
  auto file = parse_dockerfile(text);
  EXPECT_TRUE(file) << file.error().message;
  return file ? std::move(*file) : Dockerfile{};
}

/// The message for `text`, or what shows that it parsed.
std::string problem(std::string_view text) {
  auto file = parse_dockerfile(text);
  return file ? "parsed" : file.error().message;
}

/// The only instruction of the only stage.
template <class T>
T only(std::string_view line) {
  auto file = parsed("FROM x\n" + std::string(line));
  EXPECT_EQ(file.stages.size(), 1u);
  EXPECT_EQ(file.stages.at(0).instructions.size(), 1u);
  return std::get<T>(file.stages.at(0).instructions.at(0).body);
}

TEST(Dockerfile, JoinsContinuationsAndDropsComments) {
  const auto file = parsed(
      "# a comment\n\n  FROM busybox  \r\nRUN one \\\n  # dropped\n\n    two \\  \n  three\n#end\nRUN "
      "four\\\\\nRUN x\\");
  ASSERT_EQ(file.stages.size(), 1u);
  const auto& steps = file.stages[0].instructions;
  ASSERT_EQ(steps.size(), 3u);
  EXPECT_EQ(steps[0].source, "RUN one     two   three");
  EXPECT_EQ(steps[0].lines, (LineRange{4, 8}));
  EXPECT_EQ(steps[1].source, "RUN four\\\\");
  EXPECT_EQ(steps[2].source, "RUN x");
  EXPECT_EQ(file.stages[0].lines, (LineRange{3, 3}));
  ASSERT_EQ(file.warnings.size(), 1u);
  EXPECT_TRUE(file.warnings[0].text.starts_with("Empty continuation line found in: RUN one"));
}

TEST(Dockerfile, ReadsDirectivesOnlyAtTheTop) {
  const auto file =
      parsed("#syntax=docker/dockerfile:1 extra\n# Escape = `\n# check=skip=all\nFROM x\nRUN a `\n b\\\n");
  EXPECT_EQ(file.syntax, "docker/dockerfile:1");
  EXPECT_EQ(file.escape, '`');
  EXPECT_EQ(file.check, "skip=all");
  EXPECT_EQ(file.stages[0].instructions[0].source, "RUN a  b\\");
  EXPECT_EQ(parsed("# hello\n# escape=`\nFROM x").escape, '\\');
  EXPECT_EQ(parsed("\n# escape=`\nFROM x").escape, '\\');
  EXPECT_EQ(problem("# escape=`\n# escape=`\nFROM x"),
            "dockerfile parse error on line 2: only one escape parser directive can be used");
  EXPECT_EQ(problem("# escape=x\nFROM x"),
            "dockerfile parse error on line 1: invalid escape token 'x' does not match ` or \\");
  EXPECT_EQ(parsed("\xEF\xBB\xBF"
                   "FROM x")
                .stages.size(),
            1u);
}

TEST(Dockerfile, OrdersStages) {
  const auto file = parsed(
      "ARG V=1\nARG W\nFROM a:$V AS Build\nRUN x\nFROM --platform=$P scratch\nCOPY --from=build /x /\n");
  EXPECT_EQ(file.global_arguments.size(), 2u);
  ASSERT_EQ(file.stages.size(), 2u);
  EXPECT_EQ(file.stages[0].from.name, "build");
  EXPECT_EQ(file.stages[0].from.base, "a:$V");
  EXPECT_EQ(file.stages[1].from.platform, "$P");
  EXPECT_EQ(std::get<CopyInstruction>(file.stages[1].instructions[0].body).from, "build");
}

TEST(Dockerfile, WordsItsErrorsAsBuildKit) {
  EXPECT_EQ(problem(""), "file with no instructions");
  EXPECT_EQ(problem("# only\n# comments\n"), "file with no instructions");
  EXPECT_EQ(problem("ARG x\n"), "dockerfile contains no stages to build");
  EXPECT_EQ(problem("FROM x\nRUNN y"),
            "dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)");
  EXPECT_EQ(problem("FROM x\nentripoint y"),
            "dockerfile parse error on line 2: unknown instruction: entripoint (did you mean entrypoint?)");
  EXPECT_EQ(problem("FROM x\nBOGUSWORD y"),
            "dockerfile parse error on line 2: unknown instruction: BOGUSWORD");
  EXPECT_EQ(problem("RUN x\nFROM y"), "dockerfile parse error on line 1: no build stage in current context");
  EXPECT_EQ(problem("FROM a b"),
            "dockerfile parse error on line 1: FROM requires either one or three arguments");
  EXPECT_EQ(problem("FROM a AS 1x"),
            "dockerfile parse error on line 1: invalid name for build stage: \"1x\", name can't start with a "
            "number or "
            "contain symbols");
  EXPECT_EQ(problem("FROM x\nCOPY --form=y a b"),
            "dockerfile parse error on line 2: unknown flag: --form (did you mean from?)");
  EXPECT_EQ(problem("FROM x\nCOPY --from=y --from=z a b"),
            "dockerfile parse error on line 2: duplicate flag specified: --from");
  EXPECT_EQ(problem("FROM x\nCOPY --from a b"),
            "dockerfile parse error on line 2: missing a value on flag: --from");
  EXPECT_EQ(problem("FROM x\nCOPY --link=maybe a b"),
            "dockerfile parse error on line 2: expecting boolean value for flag --link, not: maybe");
  EXPECT_EQ(
      problem("FROM x\nCOPY a"),
      "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. "
      "Destination could not be determined");
  EXPECT_EQ(problem("FROM x\nENV a"), "dockerfile parse error on line 2: ENV must have two arguments");
  EXPECT_EQ(problem("FROM x\nENV a=b c"),
            "dockerfile parse error on line 2: Syntax error - can't find = in \"c\". Must be of the form: "
            "name=value");
  EXPECT_EQ(problem("FROM x\nENV"), "dockerfile parse error on line 2: ENV requires at least one argument");
  EXPECT_EQ(problem("FROM x\nWORKDIR"),
            "dockerfile parse error on line 2: WORKDIR requires exactly one argument");
  EXPECT_EQ(problem("FROM x\nSHELL sh -c"),
            "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form");
  EXPECT_EQ(problem("FROM x\nCMD [\"a\", 1]"),
            "dockerfile parse error on line 2: when using JSON array syntax, arrays must be comprised of "
            "strings only");
  EXPECT_EQ(problem("FROM x\nRUN --network=bad y"),
            "dockerfile parse error on line 2: invalid network mode \"bad\"");
  EXPECT_EQ(problem("FROM x\nHEALTHCHECK --interval=1us CMD x"),
            "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms");
  EXPECT_EQ(problem("FROM x\nHEALTHCHECK FOO x"),
            "dockerfile parse error on line 2: Unknown type \"FOO\" in HEALTHCHECK (try CMD)");
  EXPECT_EQ(problem("FROM x\nONBUILD ONBUILD RUN x"),
            "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  EXPECT_EQ(problem("FROM x\nONBUILD FROM y"),
            "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger");
  EXPECT_EQ(problem("FROM x\nCOPY a <<EOF\nEOF\n"),
            "dockerfile parse error on line 2: COPY cannot accept a heredoc as a destination");
  EXPECT_EQ(problem("FROM x\nRUN <<EOF\necho\n"), "dockerfile parse error on line 3: unterminated heredoc");
}

TEST(Dockerfile, TellsShellFormFromExecForm) {
  auto run = only<RunInstruction>("RUN echo \"a b\" && x");
  EXPECT_EQ(run.command.form, CommandLine::Form::Shell);
  EXPECT_EQ(run.command.args, (List{"echo \"a b\" && x"}));
  run = only<RunInstruction>("RUN [ \"echo\", \"a\\u0041\" ] ");
  EXPECT_EQ(run.command.form, CommandLine::Form::Exec);
  EXPECT_EQ(run.command.args, (List{"echo", "aA"}));
  EXPECT_EQ(only<RunInstruction>("RUN ['echo', 'x']").command.form, CommandLine::Form::Shell);
  EXPECT_EQ(only<RunInstruction>("RUN [\"echo\" x").command.form, CommandLine::Form::Shell);
  EXPECT_EQ(only<CmdInstruction>("CMD []").command.form, CommandLine::Form::Exec);
  EXPECT_TRUE(only<CmdInstruction>("CMD").command.args.empty());
  EXPECT_EQ(only<EntrypointInstruction>("ENTRYPOINT [\"/bin/x\"]").command.args, (List{"/bin/x"}));
}

TEST(Dockerfile, ReadsRunFlags) {
  const auto run = only<RunInstruction>(
      "RUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --network=none --security=sandbox -- "
      "make --all");
  EXPECT_EQ(run.mounts, (List{"type=cache,target=/c", "type=tmpfs,target=/t"}));
  EXPECT_EQ(run.network, "none");
  EXPECT_EQ(run.command.args, (List{"make --all"}));
}

TEST(Dockerfile, ReadsCopyAndAdd) {
  auto copy = only<CopyInstruction>(
      "COPY --chown=a:b --chmod=u+x --link --parents --exclude=*.o --exclude=.git a b c/");
  EXPECT_EQ(copy.sources, (List{"a", "b"}));
  EXPECT_EQ(copy.destination, "c/");
  EXPECT_EQ(copy.chown, "a:b");
  EXPECT_EQ(copy.chmod, "u+x");
  EXPECT_TRUE(copy.link);
  EXPECT_TRUE(copy.parents);
  EXPECT_EQ(copy.excludes, (List{"*.o", ".git"}));
  copy = only<CopyInstruction>("COPY [\"a b\", \"c d/\"]");
  EXPECT_EQ(copy.sources, (List{"a b"}));
  EXPECT_EQ(copy.destination, "c d/");
  const auto add =
      only<CopyInstruction>("ADD --checksum=sha256:abc --keep-git-dir=true --unpack=false http://x/y /z");
  EXPECT_EQ(add.kind, CopyInstruction::Kind::Add);
  EXPECT_EQ(add.checksum, "sha256:abc");
  EXPECT_EQ(add.keep_git_dir, true);
  EXPECT_EQ(add.unpack, false);
}

TEST(Dockerfile, ReadsHeredocs) {
  auto run = only<RunInstruction>("RUN <<EOF\necho $x\n\n# not a comment\nEOF\n");
  ASSERT_EQ(run.command.heredocs.size(), 1u);
  EXPECT_EQ(run.command.heredocs[0].content, "echo $x\n\n# not a comment\n");
  EXPECT_EQ(run.command.args, (List{"<<EOF"}));
  auto copy = only<CopyInstruction>("COPY <<-'AB' <<two /dest/\n\tfirst\n\t\ttabs\n\tAB\nsecond $x\ntwo\n");
  ASSERT_EQ(copy.documents.size(), 2u);
  EXPECT_EQ(copy.documents[0].name, "AB");
  EXPECT_FALSE(copy.documents[0].expand);
  EXPECT_EQ(copy.documents[0].file_content(), "first\ntabs\n");
  EXPECT_TRUE(copy.documents[1].expand);
  EXPECT_EQ(copy.documents[1].content, "second $x\n");
  EXPECT_TRUE(copy.sources.empty());
  // Neither a shift operator nor a here-string opens a document.
  EXPECT_TRUE(only<RunInstruction>("RUN cat <<<EOF").command.heredocs.empty());
  EXPECT_TRUE(only<RunInstruction>("RUN [\"cat\", \"<<EOF\"]").command.heredocs.empty());
  EXPECT_TRUE(only<EnvInstruction>("ENV a=<<EOF").variables.size() == 1);
  run = only<RunInstruction>("RUN cat <<EOF > /x && 3<<B cat\nhi\nEOF\nyo\nB\n");
  ASSERT_EQ(run.command.heredocs.size(), 2u);
  EXPECT_EQ(run.command.heredocs[1].descriptor, 3u);
  EXPECT_EQ(run.command.heredocs[1].content, "yo\n");
}

TEST(Dockerfile, ReadsKeyValues) {
  auto env = only<EnvInstruction>("ENV a=b c=\"d e\" f='g' h=i\\ j k=");
  ASSERT_EQ(env.variables.size(), 5u);
  EXPECT_EQ(env.variables[1], (KeyValue{"c", "\"d e\"", false}));
  EXPECT_EQ(env.variables[3], (KeyValue{"h", "i\\ j", false}));
  EXPECT_EQ(env.variables[4], (KeyValue{"k", "", false}));
  env = only<EnvInstruction>("ENV name the   rest = of it");
  EXPECT_EQ(env.variables, (std::vector<KeyValue>{{"name", "the   rest = of it", true}}));
  const auto label = only<LabelInstruction>("LABEL \"com.x\"=\"y\" z=1");
  EXPECT_EQ(label.labels[0].key, "\"com.x\"");
  const auto arg = only<ArgInstruction>("ARG a b= c=\"d e\"");
  ASSERT_EQ(arg.arguments.size(), 3u);
  EXPECT_FALSE(arg.arguments[0].value);
  EXPECT_EQ(arg.arguments[1].value, "");
  EXPECT_EQ(arg.arguments[2].value, "\"d e\"");
}

TEST(Dockerfile, ReadsTheRest) {
  EXPECT_EQ(only<ExposeInstruction>("EXPOSE 9090 80/tcp $p").ports, (List{"$p", "80/tcp", "9090"}));
  EXPECT_EQ(only<VolumeInstruction>("VOLUME /a /b").paths, (List{"/a", "/b"}));
  EXPECT_EQ(only<VolumeInstruction>("VOLUME [\"/a b\"]").paths, (List{"/a b"}));
  EXPECT_EQ(only<WorkdirInstruction>("workdir /a b").path, "/a b");
  EXPECT_EQ(only<UserInstruction>("USER a:b").user, "a:b");
  EXPECT_EQ(only<ShellInstruction>("SHELL [\"/bin/bash\", \"-c\"]").shell, (List{"/bin/bash", "-c"}));
  EXPECT_EQ(only<StopSignalInstruction>("STOPSIGNAL SIGQUIT").signal, "SIGQUIT");
  EXPECT_EQ(only<MaintainerInstruction>("MAINTAINER a <b@c>").name, "a <b@c>");
  EXPECT_EQ(only<OnbuildInstruction>("ONBUILD  RUN --mount=type=tmpfs,target=/t echo hi").trigger,
            "RUN --mount=type=tmpfs,target=/t echo hi");
  EXPECT_EQ(only<OnbuildInstruction>("ONBUILD /usr/bin/make x").trigger, "/usr/bin/make x");
  EXPECT_EQ(only<OnbuildInstruction>("ONBUILD COPY <<EOF /x\nbody\nEOF\n").trigger,
            "COPY <<EOF /x\nbody\nEOF");
  const auto check = only<HealthcheckInstruction>(
                         "HEALTHCHECK --interval=5s --timeout=1m --retries=3 CMD curl -f http://x || exit 1")
                         .check;
  EXPECT_EQ(check.test, (List{"CMD-SHELL", "curl -f http://x || exit 1"}));
  EXPECT_EQ(check.interval, 5'000'000'000);
  EXPECT_EQ(check.timeout, 60'000'000'000);
  EXPECT_EQ(check.retries, 3);
  EXPECT_EQ(only<HealthcheckInstruction>("HEALTHCHECK none").check.test, (List{"NONE"}));
  EXPECT_EQ(only<HealthcheckInstruction>("HEALTHCHECK CMD [\"a\"]").check.test, (List{"CMD", "a"}));
}

TEST(Dockerfile, ParsesOneInstruction) {
  const auto trigger = parse_instruction("COPY <<EOF /x\nbody\nEOF");
  ASSERT_TRUE(trigger) << trigger.error().message();
  EXPECT_EQ(std::get<CopyInstruction>(trigger->body).documents[0].content, "body\n");
  EXPECT_FALSE(parse_instruction("FROM x"));
  EXPECT_FALSE(parse_instruction("RUN x\nRUN y"));
  EXPECT_FALSE(parse_instruction(""));
}

TEST(Dockerfile, BoundsHostileInput) {
  EXPECT_EQ(problem("FROM x\nRUN " + std::string(70000, 'a')),
            "dockerfile parse error on line 2: dockerfile line greater than max allowed size of 65535");
  std::string many = "FROM x\n";
  for (int i = 0; i < 10000; ++i) many += "ENV a" + std::to_string(i) + "=b\n";
  EXPECT_EQ(parsed(many).stages[0].instructions.size(), 10000u);
  for (int i = 0; i < 20000; ++i) many += "RUN x\n";
  EXPECT_NE(problem(many).find("more than"), std::string::npos);
  std::string nested = "FROM x\n";
  for (int i = 0; i < 5000; ++i) nested += "ONBUILD ";
  EXPECT_NE(problem(nested + "RUN x <<EOF").find("Chaining ONBUILD"), std::string::npos);
  EXPECT_NE(problem("FROM x\nRUN [" + std::string(50000, '[')), "");
  std::string heredocs = "FROM x\nRUN cat";
  for (int i = 0; i < 1000; ++i) heredocs += " <<E";
  EXPECT_NE(problem(heredocs).find("more than 64 heredocs"), std::string::npos);
  EXPECT_NE(problem(std::string(9u << 20, '\n')).find("larger than"), std::string::npos);
  EXPECT_NE(problem(std::string("FROM x\nRUN a\0b\n\xff\xfe", 16)), "");
}

TEST(Dockerfile, ShowsTheLinesAround) {
  const std::string text = "FROM a\nRUN one\nRUN two\nRUN three\nRUN four\n";
  EXPECT_EQ(source_excerpt("Dockerfile", text, {3, 3}),
            "Dockerfile:3\n--------------------\n   1 |     FROM a\n   2 |     RUN one\n   3 | >>> RUN two\n "
            "  4 |     RUN "
            "three\n   5 |     RUN four\n--------------------\n");
  EXPECT_EQ(source_excerpt("D", "FROM a", {1, 1}),
            "D:1\n--------------------\n   1 | >>> FROM a\n--------------------\n");
  EXPECT_EQ(source_excerpt("D", "FROM a", {7, 7}), "");
}

TEST(Dockerfile, KnowsSignals) {
  for (const char* good : {"SIGTERM", "term", "9", "SIGRTMIN+3", "RTMAX-14", "64"})
    EXPECT_TRUE(is_valid_signal(good)) << good;
  for (const char* bad : {"", "0", "65", "SIGFOO", "RTMIN+16", "-1"})
    EXPECT_FALSE(is_valid_signal(bad)) << bad;
}

std::optional<std::string> lookup(std::string_view name) {
  if (name == "dir") return "/var/cache";
  return std::nullopt;
}

TEST(RunMount, ReadsEachType) {
  auto mount = parse_run_mount("type=cache,id=x,target=$dir/apt,sharing=locked,mode=0700,uid=1", lookup);
  ASSERT_TRUE(mount) << mount.error().message();
  EXPECT_EQ(mount->target, "/var/cache/apt");
  EXPECT_EQ(mount->sharing, CacheSharing::Locked);
  EXPECT_EQ(mount->mode, 0700u);
  EXPECT_FALSE(mount->readonly);
  mount = parse_run_mount("target=/x,\"source=a,b\",rw", lookup);
  ASSERT_TRUE(mount);
  EXPECT_EQ(mount->type, RunMountType::Bind);
  EXPECT_EQ(mount->source, "a,b");
  EXPECT_FALSE(mount->readonly);
  EXPECT_EQ(parse_run_mount("type=tmpfs,target=/t,size=64m", lookup)->size, 64 << 20);
  EXPECT_TRUE(parse_run_mount("type=secret,id=s,required,env=S", lookup)->required);
  EXPECT_TRUE(parse_run_mount("from=build,target=/x", lookup)->readonly);
}

TEST(RunMount, WordsItsErrors) {
  const auto message = [](std::string_view text) {
    auto mount = parse_run_mount(text, lookup);
    return mount ? std::string("parsed") : mount.error().message();
  };
  EXPECT_EQ(message("type=cahe"), "unsupported mount type \"cahe\" (did you mean cache?)");
  EXPECT_EQ(message("typ=cache"), "unexpected key 'typ' in 'typ=cache' (did you mean type?)");
  EXPECT_EQ(message("foo"), "invalid field 'foo' must be a key=value pair");
  EXPECT_EQ(message("from=$x"), "'from' doesn't support variable expansion, define alias stage instead");
  EXPECT_EQ(message("type=bind,mode=1"), "mode not allowed for \"bind\" type mounts");
  EXPECT_EQ(message("type=bind,sharing=locked"), "invalid cache sharing set for bind mount");
  EXPECT_EQ(message("type=secret"), "invalid secret mount. one of source, target required");
  EXPECT_EQ(message("type=cache,mode=9"), "invalid value 9 for mode");
}

TEST(ByteSize, FollowsGoUnits) {
  EXPECT_EQ(*parse_byte_size("32"), 32);
  EXPECT_EQ(*parse_byte_size("32kB"), 32768);
  EXPECT_EQ(*parse_byte_size("1.5 GiB"), 1610612736);
  for (const char* bad : {"", "x", "1x", "-1", "1 2", ".", "99999999999999999999p"})
    EXPECT_FALSE(parse_byte_size(bad)) << bad;
}

}  // namespace
}  // namespace berth::spec
