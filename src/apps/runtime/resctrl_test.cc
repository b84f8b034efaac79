// Classes of service in a folder that looks like resctrl; what the kernel makes in a new directory, the test
// makes.
#include "apps/runtime/resctrl.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace berth::runtime {
namespace {

class Resctrl : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/resctrl.XXXXXX";
    ASSERT_NE(::mkdtemp(name), nullptr);
    mount_ = name;
    populate(mount_, "    L3:0=fff;1=fff\n    MB:0=100;1=100\n");
  }
  void TearDown() override { std::filesystem::remove_all(mount_); }

  void populate(const std::string& directory, const std::string& schemata) {
    std::filesystem::create_directories(directory + "/mon_groups");
    std::ofstream(directory + "/schemata") << schemata;
    std::ofstream(directory + "/tasks");
  }
  std::string content(const std::string& file) {
    std::ostringstream text;
    text << std::ifstream(file).rdbuf();
    return text.str();
  }
  Result<ResctrlGroup> plan(const char* rdt, const std::string& id = "c1") {
    return plan_resctrl(mount_, Json::parse(rdt), id);
  }

  std::string mount_;
};

TEST_F(Resctrl, IsFoundWhereItIsMounted) {
  auto found = find_resctrl(
      "22 1 0:20 / /sys rw - sysfs sysfs rw\n31 22 0:27 / /sys/fs/resctrl rw,nosuid shared:9 - resctrl "
      "resctrl rw\n");
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, "/sys/fs/resctrl");
  auto nowhere = find_resctrl("22 1 0:20 / /sys rw - sysfs sysfs rw\n");
  EXPECT_EQ(nowhere.error().kind(), Kind::Unsupported);
}

TEST_F(Resctrl, AClassOfItsOwnIsMadeFilledAndRemoved) {
  auto group = plan(
      R"({"l3CacheSchema": "L3:0=f0\nMB:0=1", "memBwSchema": "MB:0=20", "schemata": ["L2:0=f"], "enableMonitoring": true})");
  ASSERT_TRUE(group) << group.error().message();
  EXPECT_TRUE(group->is_own);
  EXPECT_EQ(group->compared, (std::vector<std::string>{"L3:0=f0", "MB:0=20"}));
  std::filesystem::create_directories(mount_ + "/c1.wait");
  // The kernel makes mon_groups with the class.
  std::string monitor = std::exchange(group->monitor, {});
  auto made = make_resctrl(*group);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(*made, std::vector<std::string>{mount_ + "/c1"});
  populate(mount_ + "/c1", "");
  group->monitor = monitor;
  ResctrlGroup inner{.directory = mount_ + "/c1", .monitor = monitor};
  auto monitors = make_resctrl(inner);
  ASSERT_TRUE(monitors) << monitors.error().message();
  made->insert(made->end(), monitors->begin(), monitors->end());
  populate(monitor, "");
  auto filled = fill_resctrl(*group, *made, 4242);
  ASSERT_TRUE(filled) << filled.error().message();
  // Both writes begin at the file's start, as they do there; a real one keeps the lines apart.
  EXPECT_EQ(content(mount_ + "/c1/schemata"), "L2:0=f\n" + std::string("L3:0=f0\nMB:0=20\n").substr(7));
  EXPECT_EQ(content(mount_ + "/c1/tasks"), "4242");
  EXPECT_EQ(content(monitor + "/tasks"), "4242");
  std::filesystem::remove_all(monitor + "/mon_groups");
  for (const char* file : {"/tasks", "/schemata"}) std::filesystem::remove(monitor + file);
  for (const char* file : {"/tasks", "/schemata"}) std::filesystem::remove(mount_ + "/c1" + file);
  remove_resctrl({monitor});
  EXPECT_FALSE(std::filesystem::exists(monitor));
  std::filesystem::remove_all(mount_ + "/c1/mon_groups");
  remove_resctrl(*made);
  EXPECT_FALSE(std::filesystem::exists(mount_ + "/c1"));
}

TEST_F(Resctrl, AClassThatIsThereMustBeAsAsked) {
  populate(mount_ + "/gold", "    L3:0=0f0;1=00f\n    MB:0=20;1=100\n");
  auto same = plan(R"({"closID": "gold", "l3CacheSchema": "L3:1=f;0=f0", "memBwSchema": "MB:0=20"})");
  ASSERT_TRUE(same);
  auto made = make_resctrl(*same);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->empty());
  EXPECT_TRUE(fill_resctrl(*same, *made, 7));
  EXPECT_EQ(content(mount_ + "/gold/tasks"), "7");
  EXPECT_EQ(content(mount_ + "/gold/schemata"), "    L3:0=0f0;1=00f\n    MB:0=20;1=100\n")
      << "and is not written to";
  for (const char* other : {R"({"closID": "gold", "l3CacheSchema": "L3:0=ff"})",
                            R"({"closID": "gold", "memBwSchema": "MB:1=20"})",
                            R"({"closID": "gold", "l3CacheSchema": "L3:2=f0"})",
                            R"({"closID": "gold", "l3CacheSchema": "nonsense"})"}) {
    auto group = plan(other);
    ASSERT_TRUE(group) << other;
    auto filled = fill_resctrl(*group, {}, 8);
    ASSERT_FALSE(filled) << other;
    EXPECT_EQ(filled.error().kind(), Kind::AlreadyExists);
  }
}

TEST_F(Resctrl, AClassWithoutSchemataIsSomebodyElses) {
  auto group = plan(R"({"closID": "silver"})");
  ASSERT_TRUE(group);
  EXPECT_EQ(make_resctrl(*group).error().kind(), Kind::NotFound);
  populate(mount_ + "/silver", "");
  auto made = make_resctrl(*group);
  ASSERT_TRUE(made);
  EXPECT_TRUE(made->empty());
  EXPECT_TRUE(fill_resctrl(*group, *made, 9));
  EXPECT_EQ(content(mount_ + "/silver/tasks"), "9");
  auto whole = plan(R"({"closID": "/"})");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->directory, mount_);
}

TEST_F(Resctrl, NamesAndLinesThatAreNone) {
  for (const char* bad : {R"({"closID": "../x"})", R"({"closID": "a/b"})", R"({"closID": ".."})",
                          R"({"closID": "info"})", R"({"closID": 5})", R"({"memBwSchema": "L3:0=1"})",
                          R"({"memBwSchema": "MB:0=1\nMB:1=1"})", R"({"schemata": [1]})", R"([])"})
    EXPECT_FALSE(plan(bad)) << bad;
  EXPECT_FALSE(plan_resctrl(mount_, Json{{"l3CacheSchema", std::string(5000, 'x')}}, "c1"));
}

}  // namespace
}  // namespace berth::runtime
