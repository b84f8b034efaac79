// Names of runtimes, and where their bases come from.
#include "functions/runtimes/runtime_recipes.h"

#include <gtest/gtest.h>

namespace berth::functions {
namespace {

TEST(RuntimeRecipes, WhereAwsPublishesItsBases) {
  constexpr std::pair<std::string_view, std::string_view> bases[] = {
      {"python3.12", "python:3.12"},
      {"nodejs22.x", "nodejs:22"},
      {"java21", "java:21"},
      {"java8.al2", "java:8.al2"},
      {"dotnet8", "dotnet:8"},
      {"dotnetcore3.1", "dotnet:core3.1"},
      {"ruby3.3", "ruby:3.3"},
      {"go1.x", "go:1"},
      {"provided", "provided:alami"},
      {"provided.al2", "provided:al2"},
      {"provided.al2023", "provided:al2023"},
  };
  for (auto [runtime, base] : bases) EXPECT_EQ(published_base(runtime), base) << runtime;
  for (std::string_view unknown : {"", "python", "python3.99", "python3.12 ", "../x", "ruby:3.3"})
    EXPECT_EQ(published_base(unknown), "") << unknown;
}

TEST(RuntimeRecipes, WhatBerthMakes) {
  for (std::string_view runtime :
       {"provided", "provided.al2023", "python3.6", "python3.14", "nodejs22.x", "java25"})
    EXPECT_TRUE(base_recipe(runtime)) << runtime;
  for (std::string_view runtime : {"ruby3.3", "dotnet8", "go1.x", "python2.7", "python3.99", ""})
    EXPECT_FALSE(base_recipe(runtime)) << runtime;
}

}  // namespace
}  // namespace berth::functions
