#include "build/emulation.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "spec/image.h"

namespace berth::build {
namespace {

spec::Platform platform(const char* text) {
  return *spec::Platform::parse(text);
}

TEST(Emulation, TheKernelRunsItsOwnAndItsThirtyTwoBitPrograms) {
  EXPECT_TRUE(runs_natively(platform("linux/amd64"), platform("linux/amd64")));
  EXPECT_TRUE(runs_natively(platform("linux/386"), platform("linux/amd64")));
  EXPECT_TRUE(runs_natively(platform("linux/arm/v7"), platform("linux/arm64")));
  EXPECT_FALSE(runs_natively(platform("linux/arm64"), platform("linux/amd64")));
  EXPECT_FALSE(runs_natively(platform("linux/amd64"), platform("linux/386")));
}

TEST(Emulation, EmulatorsHaveTheNamesOfQemu) {
  EXPECT_EQ(emulator_name("arm64"), "qemu-aarch64");
  EXPECT_EQ(emulator_name("riscv64"), "qemu-riscv64");
  EXPECT_EQ(emulator_name("amd64"), "qemu-x86_64");
}

TEST(Emulation, AdviceIsGivenWhereNoEmulatorIsRegistered) {
  const spec::Platform foreign = platform("linux/s390x");
  const std::filesystem::path folder = std::filesystem::path(testing::TempDir()) / "berth-emulation";
  std::filesystem::create_directories(folder);
  const Error error(Kind::InvalidArgument, "exec: \"/bin/sh\": exec format error");
  const std::string told = with_emulation_advice(error, foreign, folder).message();
  EXPECT_NE(told.find("exec format error: RUN of a stage for linux/s390x"), std::string::npos) << told;
  EXPECT_NE(told.find("qemu-user-static"), std::string::npos) << told;
  std::ofstream(folder / "qemu-s390x") << "disabled\n";
  EXPECT_NE(with_emulation_advice(error, foreign, folder).message(), error.message());
  std::ofstream(folder / "qemu-s390x") << "enabled\ninterpreter /usr/bin/qemu-s390x\n";
  EXPECT_EQ(with_emulation_advice(error, foreign, folder).message(), error.message());
  EXPECT_EQ(with_emulation_advice(error, spec::Platform::host(), folder).message(), error.message());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace berth::build
