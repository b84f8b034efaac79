// SAM templates: what comes of intrinsic functions, and what the errors say.
#include "apps/berth/commands/functions/template.h"

#include <gtest/gtest.h>

#include "apps/berth/commands/functions/bucket_notification.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

Result<Template> read(std::string_view text, std::map<std::string, std::string> parameters = {}) {
  return read_template("template.yaml", text, {.parameters = std::move(parameters)});
}

constexpr std::string_view kWhole = R"(
Transform: AWS::Serverless-2016-10-31
Parameters:
  Stage: {Type: String, Default: dev}
Globals:
  Function:
    Timeout: 10
    Environment:
      Variables: {COMMON: "1", STAGE: global}
Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: !Sub "jobs-${Stage}"
  Worker:
    Type: AWS::Serverless::Function
    Properties:
      CodeUri: src
      Environment:
        Variables:
          STAGE: !Ref Stage
          QUEUE: !Ref Jobs
          ARN: !GetAtt Jobs.Arn
          TEXT: !Sub ["${A}/${!literal}/${Jobs.Arn}", {A: x}]
          LIST: !Join [",", [a, !Select [1, [b, c]]]]
          LONG: {"Fn::GetAtt": [Jobs, QueueName]}
)";

TEST(Template, WorksOutReferencesAndGlobals) {
  auto parsed = read(kWhole, {{"Stage", "prod"}});
  ASSERT_TRUE(parsed) << parsed.error().message();
  ASSERT_EQ(parsed->resources.size(), 2u);
  const Json& worker = *parsed->resources[1].properties;
  EXPECT_EQ(worker["Timeout"], "10");
  const Json& variables = worker["Environment"]["Variables"];
  EXPECT_EQ(variables["COMMON"], "1");
  EXPECT_EQ(variables["STAGE"], "prod");
  EXPECT_EQ(variables["ARN"], "arn:aws:sqs:us-east-1:000000000000:jobs-prod");
  EXPECT_EQ(variables["TEXT"], "x/${literal}/arn:aws:sqs:us-east-1:000000000000:jobs-prod");
  EXPECT_EQ(variables["LIST"], "a,c");
  EXPECT_EQ(variables["LONG"], "jobs-prod");
}

struct BadCase {
  const char* text;
  const char* message;
};
class BadTemplates : public testing::TestWithParam<BadCase> {};

TEST_P(BadTemplates, SayWhere) {
  auto parsed = read(GetParam().text);
  ASSERT_FALSE(parsed);
  EXPECT_NE(parsed.error().message().find(GetParam().message), std::string::npos) << parsed.error().message();
}

INSTANTIATE_TEST_SUITE_P(
    All, BadTemplates,
    testing::Values(
        BadCase{"Resources:\n  F:\n    Type: X\n    Properties:\n      A: !Ref Nope\n",
                "template.yaml:5: !Ref Nope"},
        BadCase{"Resources:\n  F:\n    Type: X\n    Properties:\n      A: !If [a, b, c]\n",
                "template.yaml:5: !If is not supported"},
        BadCase{"Conditions: {}\nResources: {}\n", "template.yaml:1: the section Conditions"},
        BadCase{"Parameters:\n  P: {Type: String}\nResources: {}\n", "--parameter P=VALUE"},
        BadCase{"Resources:\n  F: {}\n", "template.yaml:2: resource F has no Type"},
        BadCase{"Resources: [", "template.yaml:"}, BadCase{"[]", "a template is a map"},
        BadCase{"Resources:\n  Q:\n    Type: AWS::SQS::Queue\n    Properties:\n      QueueName: !Ref Q\n",
                "refers to itself"}));

TEST(BucketNotification, EventsAndRulesBecomeADocument) {
  Json properties = *parse_json(
      R"({"Events": ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"],
          "Filter": {"S3Key": {"Rules": [{"Name": "prefix", "Value": "a&b/"}, {"Name": "suffix", "Value": ".jpg"}]}}})");
  auto notification = read_notification(properties);
  ASSERT_TRUE(notification) << notification.error().message();
  notification->id = "f-Up";
  notification->function_arn = "arn:f";
  EXPECT_EQ(notification_document({*notification}),
            "<NotificationConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
            "<CloudFunctionConfiguration><Id>f-Up</Id><CloudFunction>arn:f</CloudFunction>"
            "<Event>s3:ObjectCreated:*</Event><Event>s3:ObjectRemoved:*</Event>"
            "<Filter><S3Key><FilterRule><Name>prefix</Name><Value>a&amp;b/</Value></FilterRule>"
            "<FilterRule><Name>suffix</Name><Value>.jpg</Value></FilterRule></S3Key></Filter>"
            "</CloudFunctionConfiguration></NotificationConfiguration>");
  EXPECT_EQ(read_notification(*parse_json(R"({"Events": "s3:ObjectCreated:Put"})"))->events.size(), 1u);
  for (const char* wrong :
       {"{}", R"({"Events": 5})", R"({"Events": "e", "Filter": {}})",
        R"({"Events": "e", "Filter": {"S3Key": {"Rules": [{"Name": "tag", "Value": "x"}]}}})"})
    EXPECT_FALSE(read_notification(*parse_json(wrong))) << wrong;
}

}  // namespace
}  // namespace berth::cli::commands
