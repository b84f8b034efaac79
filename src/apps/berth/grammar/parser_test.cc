// The grammar of command lines: tables of words and what they mean.
#include <gtest/gtest.h>

#include <array>

#include "apps/berth/commands/commands.h"
#include "apps/berth/grammar/help.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::grammar {
namespace {

Outcome<int> nothing(Context&, const Invocation&) {
  return 0;
}

constexpr std::array flags{
    Flag{'a', "all", Type::Bool, "All of them"},
    Flag{'i', "interactive", Type::Bool, "Keep open"},
    Flag{'t', "tty", Type::Bool, "Terminal"},
    Flag{'e', "env", Type::List, "Variable"},
    Flag{'p', "publish", Type::List, "Port"},
    Flag{'n', "last", Type::Int, "How many", "-1"},
    Flag{'m', "memory", Type::Bytes, "Limit"},
    Flag{.name = "memory-swap", .type = Type::SwapBytes, .help = "Limit with swap"},
    Flag{.name = "cpus", .type = Type::Decimal, .help = "Number"},
    Flag{.name = "name", .type = Type::String, .help = "Name"},
    Flag{.name = "sig-proxy", .help = "Proxy", .fallback = "true"},
    Flag{.name = "include", .type = Type::Strings, .help = "Things"},
    Flag{.name = "interval", .type = Type::Duration, .help = "Time"},
    Flag{'f', "filter", Type::Filter, "Condition"},
    Flag{.name = "weight", .type = Type::Uint16, .help = "Weight"},
};
const Command anywhere{.usage = "[OPTIONS] [ARG...]",
                       .summary = "Test",
                       .flags = flags,
                       .arity = at_least(0),
                       .action = nothing};
const Command before{.usage = "[OPTIONS] IMAGE [ARG...]",
                     .summary = "Test",
                     .flags = flags,
                     .arity = at_least(1),
                     .action = nothing,
                     .placement = FlagPlacement::BeforeArguments};

struct Read {
  Invocation invocation;
  std::string error;
  bool help = false;
};

Read read(const Command& command, std::vector<const char*> words) {
  Read result{Invocation(command, "test"), "", false};
  Parser parser(result.invocation);
  auto verdict = parser.parse(words);
  if (verdict) {
    result.help = *verdict == Parser::Verdict::Help;
  } else {
    result.error = verdict.error().message();
  }
  return result;
}

using Strings = std::vector<std::string>;

TEST(Parser, ReadsFlagsInAllTheirForms) {
  auto r =
      read(anywhere, {"-ait", "-eA=b", "-e", "C", "--env=D=e", "--env", "F", "-p8080:80", "-p=9:9", "x"});
  EXPECT_EQ(r.error, "");
  EXPECT_TRUE(r.invocation.on("all") && r.invocation.on("interactive") && r.invocation.on("tty"));
  EXPECT_EQ(r.invocation.list("env"), (Strings{"A=b", "C", "D=e", "F"}));
  EXPECT_EQ(r.invocation.list("publish"), (Strings{"8080:80", "9:9"}));
  EXPECT_EQ(r.invocation.arguments(), (Strings{"x"}));
}

TEST(Parser, ClusterEndsWithAFlagThatTakesAValue) {
  auto r = read(anywhere, {"-ite", "A=b"});
  EXPECT_TRUE(r.invocation.on("tty"));
  EXPECT_EQ(r.invocation.list("env"), (Strings{"A=b"}));
  EXPECT_EQ(read(anywhere, {"-iteA=b"}).invocation.list("env"), (Strings{"A=b"}));
}

TEST(Parser, BooleansTakeValuesOnlyWithEquals) {
  EXPECT_FALSE(read(anywhere, {"--sig-proxy=false"}).invocation.on("sig-proxy"));
  EXPECT_TRUE(read(anywhere, {}).invocation.on("sig-proxy"));
  EXPECT_EQ(read(anywhere, {"--all", "false"}).invocation.arguments(), (Strings{"false"}));
  EXPECT_EQ(read(anywhere, {"--all=maybe"}).error,
            "invalid argument \"maybe\" for \"-a, --all\" flag: strconv.ParseBool: parsing \"maybe\": "
            "invalid syntax");
}

TEST(Parser, FlagsMayFollowArgumentsUnlessTheCommandPassesThemOn) {
  auto r = read(anywhere, {"x", "-a", "--", "-t", "y"});
  EXPECT_TRUE(r.invocation.on("all"));
  EXPECT_FALSE(r.invocation.on("tty"));
  EXPECT_EQ(r.invocation.arguments(), (Strings{"x", "-t", "y"}));
  r = read(before, {"-i", "image", "ls", "-a", "--name", "z"});
  EXPECT_TRUE(r.invocation.on("interactive"));
  EXPECT_FALSE(r.invocation.on("all"));
  EXPECT_EQ(r.invocation.arguments(), (Strings{"image", "ls", "-a", "--name", "z"}));
}

TEST(Parser, ADashAloneIsAnArgument) {
  EXPECT_EQ(read(anywhere, {"-", "a"}).invocation.arguments(), (Strings{"-", "a"}));
}

TEST(Parser, WordsErrorsAsDockerDoes) {
  struct Case {
    std::vector<const char*> words;
    const char* error;
  };
  for (const Case& c : std::vector<Case>{
           {{"--bad"}, "unknown flag: --bad"},
           {{"--bad=1"}, "unknown flag: --bad"},
           {{"-z"}, "unknown shorthand flag: 'z' in -z"},
           {{"-az"}, "unknown shorthand flag: 'z' in -z"},
           {{"--name"}, "flag needs an argument: --name"},
           {{"-e"}, "flag needs an argument: 'e' in -e"},
           {{"--=x"}, "bad flag syntax: --=x"},
           {{"--last", "x"},
            "invalid argument \"x\" for \"-n, --last\" flag: strconv.ParseInt: parsing \"x\": invalid "
            "syntax"},
           {{"--last", "99999999999999999999"},
            "invalid argument \"99999999999999999999\" for \"-n, --last\" flag: strconv.ParseInt: parsing "
            "\"99999999999999999999\": value out of range"},
           {{"--weight", "-1"},
            "invalid argument \"-1\" for \"--weight\" flag: strconv.ParseUint: parsing \"-1\": invalid "
            "syntax"},
           {{"--weight", "70000"},
            "invalid argument \"70000\" for \"--weight\" flag: strconv.ParseUint: parsing \"70000\": value "
            "out of "
            "range"},
           {{"-m", "x"}, "invalid argument \"x\" for \"-m, --memory\" flag: invalid size: 'x'"},
           {{"--cpus", "abc"},
            "invalid argument \"abc\" for \"--cpus\" flag: failed to parse abc as a rational number"},
           {{"--interval", "x"},
            "invalid argument \"x\" for \"--interval\" flag: time: invalid duration \"x\""},
           {{"-f", "x"},
            "invalid argument \"x\" for \"-f, --filter\" flag: bad format of filter (expected name=value)"},
       }) {
    EXPECT_EQ(read(anywhere, c.words).error, c.error);
  }
}

TEST(Parser, GivesTypedValues) {
  auto r = read(anywhere, {"-m", "512m", "--memory-swap=-1", "--cpus", "1.5", "--interval", "1m30s", "-n5",
                           "--include", "a,b", "--include=c"});
  EXPECT_EQ(r.error, "");
  EXPECT_EQ(r.invocation.number("memory"), 512LL << 20);
  EXPECT_EQ(r.invocation.number("memory-swap"), -1);
  EXPECT_EQ(r.invocation.number("cpus"), 1'500'000'000);
  EXPECT_EQ(r.invocation.number("interval"), 90'000'000'000);
  EXPECT_EQ(r.invocation.number("last"), 5);
  EXPECT_EQ(r.invocation.list("include"), (Strings{"a", "b", "c"}));
  EXPECT_EQ(read(anywhere, {}).invocation.number("last"), -1);
}

TEST(Parser, HelpWinsWhereverItStands) {
  EXPECT_TRUE(read(anywhere, {"--help"}).help);
  EXPECT_TRUE(read(anywhere, {"-h"}).help);
  EXPECT_TRUE(read(before, {"-i", "--help", "image"}).help);
  EXPECT_FALSE(read(before, {"image", "--help"}).help);
}

TEST(Parser, CountsArguments) {
  auto complaint = [](const Command& command, std::vector<const char*> words) {
    return arity_complaint(read(command, words).invocation, "berth").value_or("");
  };
  Command command = anywhere;
  command.arity = exactly(2);
  EXPECT_EQ(complaint(command, {"a"}), "'berth test' requires 2 arguments");
  command.arity = no_arguments;
  EXPECT_EQ(complaint(command, {"a"}), "'berth test' accepts no arguments");
  command.arity = between(0, 1);
  EXPECT_EQ(complaint(command, {"a", "b"}), "'berth test' requires at most 1 argument");
  command.arity = between(1, 2);
  EXPECT_EQ(complaint(command, {}), "'berth test' requires at least 1 and at most 2 arguments");
  EXPECT_EQ(complaint(before, {}), "'berth test' requires at least 1 argument");
}

TEST(Help, WrapsDescriptionsAndShowsDefaults) {
  std::string help = flags_help(flags, {}, 80);
  EXPECT_NE(help.find("  -n, --last int            How many (default -1)\n"), std::string::npos) << help;
  EXPECT_NE(help.find("      --sig-proxy           Proxy (default true)\n"), std::string::npos) << help;
}

TEST(Help, EveryCommandIsDescribedAndFitsItsScreen) {
  Tree tree = commands::command_tree();
  for (const Entry& entry : tree) {
    if (entry.command == nullptr) continue;
    EXPECT_FALSE(entry.command->summary.empty()) << entry.path;
    EXPECT_NE(entry.command->action, nullptr) << entry.path;
    for (Flags part : {entry.command->flags, entry.command->more_flags}) {
      for (const Flag& flag : part) {
        bool shown = flag.visibility == Visibility::Shown;
        EXPECT_TRUE(!shown || !flag.help.empty()) << entry.path << " --" << flag.name;
        EXPECT_TRUE(flag.fallback.empty() || accept(flag, flag.fallback)) << entry.path << " --" << flag.name;
      }
    }
    std::string help = command_help({}, tree, entry.path, *entry.command);
    for (std::string_view rest = help; !rest.empty();) {
      size_t end = rest.find('\n');
      EXPECT_LE(std::min(end, rest.size()), 110u) << entry.path << ": " << rest.substr(0, end);
      if (end == std::string_view::npos) break;
      rest.remove_prefix(end + 1);
    }
  }
}

TEST(Help, NoCommandHasTwoFlagsOfOneName) {
  for (const Entry& entry : commands::command_tree()) {
    if (entry.command == nullptr) continue;
    std::vector<std::string> names;
    std::string letters;
    for (Flags part : {entry.command->flags, entry.command->more_flags}) {
      for (const Flag& flag : part) {
        names.emplace_back(flag.name);
        if (flag.letter != 0) {
          EXPECT_EQ(letters.find(flag.letter), std::string::npos) << entry.path << " -" << flag.letter;
          letters += flag.letter;
        }
      }
    }
    std::sort(names.begin(), names.end());
    EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end()) << entry.path;
  }
}

}  // namespace
}  // namespace berth::cli::grammar
