// What bases are made of: from AWS's name of a runtime to packages of the distribution and our own client.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "storage/bootstrap_packages.h"

namespace berth::functions {

/// "python3.11" -> "python"; empty: no such runtime.
std::string_view family_of(std::string_view runtime);
/// AWS's identifiers.
bool is_known_runtime(std::string_view runtime);
/// "berth/lambda-python3.11"
std::string base_image_name(std::string_view runtime);
/// None: berth has no packages for it (the image can only be pulled or brought by users).
std::optional<storage::PackageImage> base_recipe(std::string_view runtime);
/// A label of bases by these recipes: the family, whose bases differ in their names alone.
inline constexpr std::string_view kBaseLabel = "berth.base";
/// Where AWS publishes its own base of the runtime, below its registry's path: "python3.12" ->
/// "python:3.12". Empty: no such runtime.
std::string published_base(std::string_view runtime);
/// Other names of the same family.
std::vector<std::string> runtimes_like(std::string_view runtime);
/// Names for `berth bootstrap`: one per family, the newest.
std::vector<std::string> base_recipe_names();

}  // namespace berth::functions
