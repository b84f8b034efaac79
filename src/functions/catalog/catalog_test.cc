// Names, and a catalog that says the same after it was opened anew.
#include "functions/catalog/catalog.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>

#include "functions/catalog/new_name.h"
#include "functions/catalog/record_json.h"
#include "storage/database.h"
#include "sys/file.h"

namespace berth::functions {
namespace {

const Realm realm{};

TEST(Names, AllFormsOfAReference) {
  struct Case {
    const char *text, *account, *region, *name, *qualifier;
  };
  for (const Case& each : {
           Case{"f", "000000000000", "us-east-1", "f", ""},
           Case{"f:PROD", "000000000000", "us-east-1", "f", "PROD"},
           Case{"f:$LATEST", "000000000000", "us-east-1", "f", "$LATEST"},
           Case{"123456789012:function:f", "123456789012", "us-east-1", "f", ""},
           Case{"123456789012:f:7", "123456789012", "us-east-1", "f", "7"},
           Case{"arn:aws:lambda:eu-west-1:123456789012:function:f", "123456789012", "eu-west-1", "f", ""},
           Case{"arn:aws:lambda:us-gov-west-1:123456789012:function:f:a-b_c", "123456789012", "us-gov-west-1",
                "f", "a-b_c"},
           // "function" may be left out, also where that names something else.
           Case{"arn:aws:lambda:eu-west-1:123456789012:function", "123456789012", "eu-west-1", "function",
                ""},
           Case{"arn:aws:lambda:eu-west-1:123456789012:layer:f", "123456789012", "eu-west-1", "layer", "f"},
       }) {
    auto found = parse_function_reference(each.text, realm);
    ASSERT_TRUE(found) << each.text;
    EXPECT_EQ(found->realm.account, each.account) << each.text;
    EXPECT_EQ(found->realm.region, each.region) << each.text;
    EXPECT_EQ(found->name, each.name) << each.text;
    EXPECT_EQ(found->qualifier, each.qualifier) << each.text;
  }
}

TEST(Names, RefusedInAwsWords) {
  for (const char* text :
       {"", "a b", "f:g:h", "arn:aws:s3:::bucket", "arn:aws:lambda:eu-west-1:12:function:f", "f/..",
        "arn:aws:lambda::123456789012:function:f", "arn:aws:lambda:eu-west-1::function:f"}) {
    auto found = parse_function_reference(text, realm);
    ASSERT_FALSE(found) << text;
    EXPECT_TRUE(found.error().message().starts_with("1 validation error detected: Value '")) << text;
  }
  EXPECT_TRUE(parse_function_reference(std::string(65, 'a'), realm));
  EXPECT_FALSE(parse_new_function_name(std::string(65, 'a'), realm));
  EXPECT_TRUE(parse_function_reference("a.b", realm));
  EXPECT_FALSE(parse_new_function_name("a.b", realm));
  EXPECT_FALSE(parse_function_reference(std::string(171, 'a'), realm));
  EXPECT_TRUE(is_alias_name("v1") && !is_alias_name("1") && !is_alias_name(""));
}

class CatalogTest : public ::testing::Test {
 protected:
  CatalogTest() {
    char path[] = "/tmp/berth-catalog-XXXXXX";
    folder_ = ::mkdtemp(path);
    reopen();
  }
  ~CatalogTest() override {
    catalog_.reset();
    database_.reset();
    [[maybe_unused]] auto removed = sys::remove_tree(folder_);
  }
  void reopen() {
    catalog_.reset();
    database_.reset();
    database_ = std::move(storage::Database::open(folder_ + "/state.db").value());
    catalog_ = std::move(Catalog::open(*database_).value());
  }
  FunctionVersion function(const std::string& name) {
    FunctionVersion version;
    version.realm = realm;
    version.name = name;
    version.runtime = "python3.11";
    version.handler = "index.handler";
    version.environment = {{"A", "1"}};
    version.layers = {{.arn = "arn:x:1", .code_size = 3, .directory = "/layer"}};
    version.code_directory = "/code/" + name;
    return version;
  }

  std::string folder_;
  std::unique_ptr<storage::Database> database_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, EverythingIsThereAfterReopening) {
  ASSERT_TRUE(catalog_->create(function("f"), {{"team", "a"}}));
  ASSERT_TRUE(catalog_->publish(realm, "f", "first"));
  ASSERT_TRUE(catalog_->update_settings(realm, "f", [](FunctionSettings& settings) -> Result<void> {
    settings.aliases["PROD"] = {.name = "PROD", .version = "1"};
    settings.urls[""] = {.id = "abc", .cors = UrlConfig::Cors{.allow_origins = {"*"}}};
    settings.reserved_concurrency = 0;
    settings.event_invoke["$LATEST"] = {.maximum_retries = 1, .on_failure = "arn:aws:sqs:x:y:z"};
    return {};
  }));
  ASSERT_TRUE(catalog_->add_layer({.realm = realm, .name = "l", .directory = "/layer"}));
  ASSERT_TRUE(
      catalog_->put_mapping({.uuid = "u", .realm = realm, .function = "f", .source_access = {{"T", "U"}}}));
  reopen();
  const FunctionEntry* entry = catalog_->find(realm, "f");
  ASSERT_NE(entry, nullptr);
  EXPECT_EQ(entry->latest()->environment.at("A"), "1");
  EXPECT_EQ(entry->latest()->layers.at(0).directory, "/layer");
  EXPECT_EQ(entry->version("1")->description, "first");
  EXPECT_EQ(entry->settings().aliases.at("PROD").version, "1");
  EXPECT_EQ(entry->settings().urls.at("").cors->allow_origins.at(0), "*");
  EXPECT_EQ(entry->settings().reserved_concurrency, 0u);
  EXPECT_EQ(entry->settings().event_invoke.at("$LATEST").maximum_retries, 1u);
  EXPECT_EQ(entry->settings().tags.at("team"), "a");
  EXPECT_TRUE(catalog_->find_url("abc"));
  EXPECT_EQ(catalog_->find_mapping("u")->source_access.at(0).second, "U");
  ASSERT_NE(catalog_->find_layer(realm, "l", 1), nullptr);
}

TEST_F(CatalogTest, AFolderNamedAfterItsCodeIsFoundAgain) {
  FunctionVersion named = function("named");
  named.code_sha256 = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
  named.code_directory = "/code/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
  FunctionVersion other = function("other");  // the digest and a folder of another name
  other.layers.clear();
  other.code_sha256 = named.code_sha256;
  for (const FunctionVersion& version : {named, other}) {
    ASSERT_TRUE(catalog_->create(version, {}));
    EXPECT_EQ(StoredVersion(std::make_shared<FunctionVersion>(version)).get()->code_directory,
              version.code_directory);
  }
  for (int round = 0; round < 2; ++round) {
    for (const FunctionVersion& version : {named, other}) {
      auto latest = catalog_->find(realm, version.name)->latest();
      EXPECT_EQ(latest->code_directory, version.code_directory);
      EXPECT_EQ(latest->code_sha256, version.code_sha256);
    }
    std::set<std::string> used{named.code_directory, other.code_directory, "/layer"};
    EXPECT_EQ(catalog_->code_directories(), used);
    reopen();
  }
}

TEST_F(CatalogTest, PublishingTwiceWithoutAChangeGivesTheSameVersion) {
  ASSERT_TRUE(catalog_->create(function("f"), {}));
  EXPECT_EQ((*catalog_->publish(realm, "f", {}))->version, "1");
  EXPECT_EQ((*catalog_->publish(realm, "f", {}))->version, "1");
  FunctionVersion changed = function("f");
  changed.timeout_seconds = 9;
  ASSERT_TRUE(catalog_->replace_latest(changed));
  EXPECT_EQ((*catalog_->publish(realm, "f", {}))->version, "2");
  ASSERT_TRUE(catalog_->remove_version(realm, "f", 2));
  FunctionVersion again = function("f");
  again.timeout_seconds = 10;
  ASSERT_TRUE(catalog_->replace_latest(again));
  EXPECT_EQ((*catalog_->publish(realm, "f", {}))->version, "3");  // numbers are not used twice
}

TEST_F(CatalogTest, AWeightedAliasDrawsBothVersions) {
  ASSERT_TRUE(catalog_->create(function("f"), {}));
  ASSERT_TRUE(catalog_->publish(realm, "f", {}));
  FunctionVersion changed = function("f");
  changed.handler = "other.handler";
  ASSERT_TRUE(catalog_->replace_latest(changed));
  ASSERT_TRUE(catalog_->publish(realm, "f", {}));
  ASSERT_TRUE(catalog_->update_settings(realm, "f", [](FunctionSettings& settings) -> Result<void> {
    settings.aliases["a"] = {.name = "a", .version = "1", .weights = {{"2", 0.5}}};
    return {};
  }));
  int second = 0;
  for (int i = 0; i < 400; ++i) second += (*catalog_->resolve(realm, "f", "a"))->version == "2" ? 1 : 0;
  EXPECT_GT(second, 100);
  EXPECT_LT(second, 300);
}

TEST_F(CatalogTest, CodeIsInUseWhileSomebodyHoldsAVersion) {
  ASSERT_TRUE(catalog_->create(function("f"), {}));
  FunctionVersionPtr held = catalog_->find(realm, "f")->latest();
  ASSERT_TRUE(catalog_->remove(realm, "f"));
  EXPECT_EQ(catalog_->code_directories().count("/code/f"), 1u);
  held.reset();
  EXPECT_EQ(catalog_->code_directories().count("/code/f"), 0u);
  auto missing = catalog_->resolve(realm, "f");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message(),
            "Function not found: arn:aws:lambda:us-east-1:000000000000:function:f");
}

TEST_F(CatalogTest, WhoeverHoldsAVersionHoldsTheSameObject) {
  FunctionVersion given = function("f");
  given.environment = {{"A", "1"}};
  given.timeout_seconds = 9;
  given.memory_mebibytes = 128;
  given.tracing = TracingMode::Active;
  ASSERT_TRUE(catalog_->create(given, {}));
  const FunctionEntry* entry = catalog_->find(realm, "f");
  FunctionVersionPtr held = entry->latest();
  EXPECT_EQ(held, *catalog_->resolve(realm, "f"));
  std::string before = encode(*held);
  held.reset();  // from here on it is packed
  EXPECT_EQ(encode(*entry->latest()), before);
  EXPECT_EQ(catalog_->code_directories().count("/code/f"), 1u);
}

TEST_F(CatalogTest, SettingsThatAreAsAtFirstAgain) {
  ASSERT_TRUE(catalog_->create(function("f"), {}));
  const FunctionEntry* entry = catalog_->find(realm, "f");
  auto reserve = [&](std::optional<uint32_t> count) {
    return catalog_->update_settings(realm, "f", [count](FunctionSettings& settings) -> Result<void> {
      settings.reserved_concurrency = count;
      return {};
    });
  };
  ASSERT_TRUE(reserve(5));
  const FunctionSettings& settings = entry->settings();
  EXPECT_EQ(settings.reserved_concurrency, 5u);
  ASSERT_TRUE(reserve(std::nullopt));
  EXPECT_EQ(settings.reserved_concurrency, std::nullopt);
  reopen();
  EXPECT_EQ(catalog_->find(realm, "f")->settings().reserved_concurrency, std::nullopt);
}

TEST_F(CatalogTest, QualifiersOfNameAndRequestMustAgree) {
  ASSERT_TRUE(catalog_->create(function("f"), {}));
  EXPECT_TRUE(catalog_->resolve(realm, "f:$LATEST", "$LATEST"));
  EXPECT_FALSE(catalog_->resolve(realm, "f:$LATEST", "1"));
  EXPECT_FALSE(catalog_->resolve(realm, "f", "missing"));
}

}  // namespace
}  // namespace berth::functions
