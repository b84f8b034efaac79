// Templates: a corpus checked against Go's text/template through the docker CLI.
#include "apps/berth/gotemplate/template.h"

#include <gtest/gtest.h>

#include "apps/berth/gotemplate/document.h"
#include "apps/berth/gotemplate/functions.h"

namespace berth::cli::gotemplate {
namespace {

constexpr const char* container = R"({"Id":"525d29e38bee","Path":"sleep","Args":["10","20"],"Name":"/web",
  "State":{"Status":"running","Running":true,"Pid":11424,"ExitCode":0,"Error":""},
  "HostConfig":{"Memory":0,"CapAdd":null,"Binds":["/tmp:/x"],"LogConfig":{"Type":"json-file","Config":{}},
    "PortBindings":{"80/tcp":[{"HostIp":"","HostPort":"8080"}]}},
  "Mounts":[{"Type":"bind","Source":"/tmp","Destination":"/x","Mode":"","RW":true,"Propagation":"rslave"}],
  "Config":{"Labels":{"c.d":"x","a":"b"},"Env":["A=b"],"Entrypoint":null},
  "NetworkSettings":{"Ports":{"80/tcp":null},"Networks":{"bridge":{"IPAddress":"172.17.0.2"}}},
  "SizeRw":12884901888.5})";

/// As `inspect --format` does it: Go's types first, plain JSON if that fails.
std::string inspect(std::string_view format) {
  auto parsed = Template::parse(format);
  if (!parsed) return "parse: " + parsed.error().message();
  std::string text;
  auto typed = parse_document(container, Typing::Typed);
  if (parsed->execute(text, *typed)) return text;
  text.clear();
  auto untyped = parse_document(container, Typing::Untyped);
  auto done = parsed->execute(text, *untyped, {.missing_key = MissingKey::Error});
  return done ? text : "error: " + done.error().message();
}

struct Case {
  const char* format;
  const char* result;
};

class Corpus : public testing::TestWithParam<Case> {};

TEST_P(Corpus, GivesWhatGoGives) {
  EXPECT_EQ(inspect(GetParam().format), GetParam().result) << GetParam().format;
}

INSTANTIATE_TEST_SUITE_P(
    Fields, Corpus,
    testing::Values(Case{"{{.Id}}", "525d29e38bee"}, Case{"{{.State.Status}}", "running"},
                    Case{"{{.State.Pid}}", "11424"}, Case{"{{.State.Running}}", "true"},
                    Case{"{{.Config.Labels.foo}}", "<no value>"},
                    Case{"{{index .Config.Labels \"foo\"}}", ""},
                    Case{"{{index .Config.Labels \"c.d\"}}", "x"}, Case{"{{.State.Health}}", "<nil>"},
                    Case{"{{.Config.StopSignal}}", ""}, Case{"{{.Config.StopTimeout}}", "<nil>"},
                    Case{"{{.HostConfig.CapAdd}}", "[]"}, Case{"{{.HostConfig.Tmpfs}}", "map[]"},
                    Case{"{{len .HostConfig.CapAdd}}", "0"}, Case{"{{.Config.Labels}}", "map[a:b c.d:x]"},
                    Case{"{{.HostConfig.Binds}}", "[/tmp:/x]"},
                    Case{"{{.HostConfig.PortBindings}}", "map[80/tcp:[{ 8080}]]"},
                    Case{"{{.HostConfig.LogConfig}}", "{json-file map[]}"},
                    Case{"{{.Mounts}}", "[{bind  /tmp /x   true rslave}]"},
                    Case{"{{(index .Mounts 0).Source}}", "/tmp"},
                    Case{"{{.NetworkSettings.Networks.bridge.IPAddress}}", "172.17.0.2"},
                    Case{"{{(index .NetworkSettings.Networks \"bridge\").IPAddress}}", "172.17.0.2"}));

INSTANTIATE_TEST_SUITE_P(
    Actions, Corpus,
    testing::Values(Case{"{{if eq .State.Status \"running\"}}up{{else}}down{{end}}", "up"},
                    Case{"{{if false}}a{{else if .State.Running}}b{{else}}c{{end}}", "b"},
                    Case{"{{with .State.Health}}{{.Status}}{{else}}none{{end}}", "none"},
                    Case{"{{with $x := .Id}}{{$x}}{{end}}", "525d29e38bee"},
                    Case{"{{range .Args}}<{{.}}>{{end}}", "<10><20>"},
                    Case{"{{range $i, $e := .Args}}{{$i}}={{$e}} {{end}}", "0=10 1=20 "},
                    Case{"{{range $k, $v := .Config.Labels}}{{$k}}={{$v}} {{end}}", "a=b c.d=x "},
                    Case{"{{range .HostConfig.CapAdd}}x{{else}}empty{{end}}", "empty"},
                    Case{"{{range .Args}}{{if eq . \"20\"}}{{break}}{{end}}{{.}}{{end}}", "10"},
                    Case{"{{range .Args}}{{if eq . \"10\"}}{{continue}}{{end}}{{.}}{{end}}", "20"},
                    Case{"{{range $p, $c := .NetworkSettings.Ports}}{{$p}}{{end}}", "80/tcp"},
                    Case{"{{$a := .Id}}{{$a = \"z\"}}{{$a}}", "z"}, Case{"{{/* note */}}x", "x"},
                    Case{"a  {{- \"b\" -}}  c", "abc"},
                    Case{"{{range .Args}}{{$.Name}} {{end}}", "/web /web "}, Case{"{{`a\\n`}}", "a\\n"},
                    Case{"{{\"\\t\\u00e9\"}}", "\té"}));

INSTANTIATE_TEST_SUITE_P(
    Functions, Corpus,
    testing::Values(
        Case{"{{json .State}}", R"({"Status":"running","Running":true,"Pid":11424,"ExitCode":0,"Error":""})"},
        Case{"{{json .Config.Labels}}", R"({"a":"b","c.d":"x"})"},
        Case{"{{json .Config.Entrypoint}}", "null"}, Case{"{{join .Args \",\"}}", "10,20"},
        Case{"{{split .Id \"5\"}}", "[ 2 d29e38bee]"}, Case{"{{upper .Path}}", "SLEEP"},
        Case{"{{title \"abc def\"}}", "Abc Def"}, Case{"{{truncate .Id 5}}", "525d2"},
        Case{"{{pad .Path 2 3}}|", "  sleep   |"}, Case{"{{slice .Id 0 4}}", "525d"},
        Case{"{{len .Mounts}}", "1"}, Case{"{{not .State.Running}}", "false"},
        Case{"{{and .State.Running .Id}}", "525d29e38bee"}, Case{"{{or \"\" .Path}}", "sleep"},
        Case{"{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}} {{ne 1 2}}", "true true false false true"},
        Case{"{{eq .Path \"a\" \"sleep\"}}", "true"}, Case{"{{print \"a\" 1 2 \"b\" \"c\"}}", "a1 2bc"},
        Case{"{{println \"a\" 1}}", "a 1\n"}, Case{"{{.Id | upper | printf \"%.5s\"}}", "525D2"},
        Case{"{{html \"<a>\"}}", "&lt;a&gt;"}, Case{"{{urlquery \"a b&\"}}", "a+b%26"},
        Case{"{{.SizeRw}}", "12884901888.5"}));

INSTANTIATE_TEST_SUITE_P(
    Errors, Corpus,
    testing::Values(
        Case{"{{.Foo}}", "error: template: :1:2: executing \"\" at <.Foo>: map has no entry for key \"Foo\""},
        Case{"{{.Config.Foo}}",
             "error: template: :1:9: executing \"\" at <.Config.Foo>: map has no entry for key \"Foo\""},
        Case{"{{.State.Health.Status}}",
             "error: template: :1:8: executing \"\" at <.State.Health.Status>: map has no entry for key "
             "\"Health\""},
        Case{"{{index .Args 5}}",
             "error: template: :1:2: executing \"\" at <index .Args 5>: error calling index: index out of "
             "range: 5"},
        Case{"{{.Name.Foo}}",
             "error: template: :1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type "
             "interface {}"},
        Case{"{{upper 5}}", "error: template: :1:8: executing \"\" at <5>: expected string; found 5"},
        Case{
            "{{upper}}",
            "error: template: :1:2: executing \"\" at <upper>: wrong number of args for upper: want 1 got 0"},
        Case{"{{.Id \"x\"}}",
             "error: template: :1:2: executing \"\" at <.Id>: Id is not a method but has arguments"},
        Case{"{{nil}}", "error: template: :1:2: executing \"\" at <nil>: nil is not a command"},
        Case{"{{foo}}", "parse: template: :1: function \"foo\" not defined"},
        Case{"{{.Id", "parse: template: :1: unclosed action"},
        Case{"{{\"a", "parse: template: :1: unterminated quoted string"},
        Case{"{{end}}", "parse: template: :1: unexpected {{end}}"},
        Case{"{{if .Id}}x", "parse: template: :1: unexpected EOF"},
        Case{"{{$x}}", "parse: template: :1: undefined variable \"$x\""},
        Case{"{{break}}", "parse: template: :1: {{break}} outside {{range}}"},
        Case{"{{}}", "parse: template: :1: missing value for command"}));

INSTANTIATE_TEST_SUITE_P(
    Printf, Corpus,
    testing::Values(
        Case{"{{printf \"%d|%7d|%-7d|%07d|%+d|%x|%o|%b\" 42 42 42 42 42 42 42 5}}",
             "42|     42|42     |0000042|+42|2a|52|101"},
        Case{"{{printf \"%s|%-5s|%5s|%.2s|%q|%x\" \"abc\" \"abc\" \"abc\" \"abc\" \"a\\\"b\" \"abc\"}}",
             "abc|abc  |  abc|ab|\"a\\\"b\"|616263"},
        Case{"{{printf \"%v %v %v\" .Args .State.Running nil}}", "[10 20] true <nil>"},
        Case{"{{printf \"%.2f %6.1f %g\" 3.14159 2.5 0.5}}", "3.14    2.5 0.5"},
        Case{"{{printf \"%5t|%c|%%\" true 65}}", " true|A|%"},
        Case{"{{printf \"%d %s\" \"x\"}}", "%!d(string=x) %!s(MISSING)"},
        Case{"{{printf \"%z\" 1}}", "%!z(int=1)"},
        Case{"{{printf \"%s\" \"a\" \"b\"}}", "a%!(EXTRA string=b)"}, Case{"{{printf \"%\"}}", "%!(NOVERB)"},
        Case{"{{printf \"%*d\" 5 42}}", "   42"}, Case{"{{printf \"%s\" .State.Pid}}", "%!s(int=11424)"}));

TEST(Template, HeaderFunctionsReturnTheirArgument) {
  auto parsed = Template::parse("{{upper .ID}} {{json .Names}} {{truncate .ID 2}} {{join .Names \",\"}}");
  Object header{Shape::Map, "", {{"ID", Value("Container Id")}, {"Names", Value("NAMES")}}};
  std::string text;
  ASSERT_TRUE(parsed->execute(text, Value(header), {.functions = FunctionSet::Header}));
  EXPECT_EQ(text, "Container Id NAMES Container Id NAMES");
}

TEST(Template, CallsMethods) {
  Object row{Shape::Row, "*row", {}};
  row.fields.emplace_back("Label", Value(Method([](const std::vector<Value>& arguments) -> Result<Value> {
                            return Value("label " + arguments.at(0).print());
                          })));
  auto parsed = Template::parse("{{.Label \"x\"}} {{.Label (print \"a\" 1)}} {{\"y\" | .Label}}");
  std::string text;
  ASSERT_TRUE(parsed->execute(text, Value(row)));
  EXPECT_EQ(text, "label x label a1 label y");
}

TEST(Template, NamesTheTypeOfRows) {
  auto parsed = Template::parse("{{.Foo}}");
  std::string text;
  auto done = parsed->execute(text, Value(Object{Shape::Row, "*formatter.imageContext", {}}));
  EXPECT_EQ(
      done.error().message(),
      "template: :1:2: executing \"\" at <.Foo>: can't evaluate field Foo in type *formatter.imageContext");
}

TEST(Template, KnowsWhichFieldsItMentions) {
  auto parsed = Template::parse("{{range .A}}{{if eq (index .B.Size 0) 1}}x{{end}}{{end}}");
  EXPECT_TRUE(parsed->mentions("Size"));
  EXPECT_FALSE(parsed->mentions("Name"));
}

TEST(Template, RefusesBottomlessNesting) {
  std::string format;
  for (int i = 0; i < 5000; ++i) format += "{{if 1}}";
  EXPECT_FALSE(Template::parse(format));
  EXPECT_FALSE(Template::parse("{{" + std::string(5000, '(') + "1"));
}

TEST(Template, SurvivesAnyBytes) {
  std::string alphabet = "{}.$|()\"`'-%xAif end range 0 \\\n:=";
  uint32_t state = 7;
  for (int round = 0; round < 20'000; ++round) {
    std::string format;
    for (int i = 0; i < 24; ++i) {
      state = state * 1664525 + 1013904223;
      format += alphabet[(state >> 16) % alphabet.size()];
    }
    if (auto parsed = Template::parse(format)) {
      std::string text;
      (void)parsed->execute(text, Value(Object{Shape::Map, "", {{"A", Value(1)}}}));
    }
  }
}

TEST(Document, RefusesWhatIsNoJsonOrTooDeep) {
  EXPECT_FALSE(parse_document("{\"a\":", Typing::Typed));
  EXPECT_FALSE(parse_document("", Typing::Typed));
  EXPECT_FALSE(parse_document(std::string(100'000, '['), Typing::Typed));
}

TEST(Document, WritesJsonAsGoDoes) {
  auto value = parse_document(R"({"b":"<a>&\u0001\n\"","a":[1,1.5,true,null,1e30],"c":{}})", Typing::Typed);
  EXPECT_EQ(to_json(*value), "{\"b\":\"<a>&\\u0001\\n\\\"\",\"a\":[1,1.5,true,null,1e+30],\"c\":{}}");
  EXPECT_EQ(to_json(Value("\xFF\xC3\xA9")), "\"\\ufffdé\"");
  Object row{Shape::Row, "", {{"b", Value("<none>")}, {"a", Value("1")}}};
  EXPECT_EQ(to_json(Value(row)), "{\"a\":\"1\",\"b\":\"\\u003cnone\\u003e\"}");
}

}  // namespace
}  // namespace berth::cli::gotemplate
