// Recipes of runtime bases, from Debian 12.
#include "functions/runtimes/runtime_recipes.h"

#include <algorithm>

#include "functions/runtimes/client_files.h"

namespace berth::functions {
namespace {

struct Family {
  std::string_view prefix;
  std::string_view name;
  std::string_view description;
};

constexpr Family families[] = {
    {"provided", "provided", "Debian 12"},           {"python", "python", "Python 3.11 of Debian 12"},
    {"nodejs", "nodejs", "Node.js 18 of Debian 12"}, {"java", "java", "OpenJDK 17 of Debian 12"},
    {"ruby", "ruby", "Ruby 3.1 of Debian 12"},       {"dotnet", "dotnet", ""},
};

/// Names whose tags do not follow from them.
constexpr std::pair<std::string_view, std::string_view> published_names[] = {{"provided", "provided:alami"},
                                                                             {"go1.x", "go:1"}};

/// AWS's enumeration, deprecated ones included (lambda 2015-03-31).
constexpr std::string_view known_runtimes[] = {
    "nodejs",          "nodejs4.3",  "nodejs4.3-edge", "nodejs6.10",    "nodejs8.10",    "nodejs10.x",
    "nodejs12.x",      "nodejs14.x", "nodejs16.x",     "nodejs18.x",    "nodejs20.x",    "nodejs22.x",
    "nodejs24.x",      "nodejs26.x", "java8",          "java8.al2",     "java8.al2023",  "java11",
    "java17",          "java21",     "java25",         "python2.7",     "python3.6",     "python3.7",
    "python3.8",       "python3.9",  "python3.10",     "python3.11",    "python3.12",    "python3.13",
    "python3.14",      "python3.15", "dotnetcore1.0",  "dotnetcore2.0", "dotnetcore2.1", "dotnetcore3.1",
    "dotnet6",         "dotnet8",    "dotnet10",       "go1.x",         "ruby2.5",       "ruby2.7",
    "ruby3.2",         "ruby3.3",    "ruby3.4",        "ruby4.0",       "provided",      "provided.al2",
    "provided.al2023",
};

constexpr std::string_view kRecipePrefix = "lambda-";

storage::PackageImage plain_base(std::string_view runtime) {
  storage::PackageImage image;
  image.name = base_image_name(runtime);
  image.packages = {"ca-certificates", "curl", "libstdc++6", "netbase"};
  image.directories = {"var/task", "var/runtime", "var/lang/bin", "opt", "tmp", "home/sbx_user1051"};
  image.users = {"sbx_user1051:x:993:990::/home/sbx_user1051:/sbin/nologin"};
  image.config.env = {"PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
                      "LAMBDA_TASK_ROOT=/var/task", "LAMBDA_RUNTIME_DIR=/var/runtime"};
  image.config.working_dir = "/var/task";
  return image;
}

void add_client(storage::PackageImage& image, std::string path, std::string_view content) {
  image.files.push_back({.path = std::move(path), .content = std::string(content), .mode = 0644});
}

}  // namespace

std::string_view family_of(std::string_view runtime) {
  for (const Family& family : families) {
    if (runtime.starts_with(family.prefix)) return family.name;
  }
  return {};
}

bool is_known_runtime(std::string_view runtime) {
  return std::find(std::begin(known_runtimes), std::end(known_runtimes), runtime) != std::end(known_runtimes);
}

std::string base_image_name(std::string_view runtime) {
  return "berth/lambda-" + std::string(runtime);
}

std::optional<storage::PackageImage> base_recipe(std::string_view runtime) {
  if (!is_known_runtime(runtime)) return std::nullopt;
  std::string_view family = family_of(runtime);
  storage::PackageImage image = plain_base(runtime);
  auto description = std::find_if(std::begin(families), std::end(families),
                                  [&](const Family& each) { return each.name == family; });
  if (description != std::end(families)) {
    image.config.labels["berth.runtime"] = std::string(description->description);
    image.config.labels[std::string(kBaseLabel)] = std::string(family);
  }
  if (family == "provided") return image;
  if (family == "python" && !runtime.starts_with("python2")) {
    image.packages.push_back("python3");
    add_client(image, "var/runtime/bootstrap.py", python_client);
    image.links = {{"var/lang/bin/python3", "/usr/bin/python3"}, {"var/lang/bin/python", "/usr/bin/python3"}};
    for (std::string_view each : known_runtimes) {
      if (each.starts_with("python3."))
        image.links.push_back({"var/lang/bin/" + std::string(each), "/usr/bin/python3"});
    }
    image.config.entrypoint = {"/usr/bin/python3", "/var/runtime/bootstrap.py"};
    return image;
  }
  if (family == "nodejs") {
    image.packages.push_back("nodejs");
    add_client(image, "var/runtime/bootstrap.cjs", nodejs_client);
    image.links = {{"var/lang/bin/node", "/usr/bin/node"}};
    image.config.entrypoint = {"/usr/bin/node", "/var/runtime/bootstrap.cjs"};
    return image;
  }
  if (family == "java") {
    image.packages.push_back("openjdk-17-jre-headless");
    image.links = {{"var/lang/bin/java", "/usr/bin/java"}};
    // The zip brings AWS's runtime interface client, unpacked or as a jar in lib/.
    image.config.entrypoint = {
        "/bin/sh", "-c",
        "exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp \"/var/task:/var/task/lib/*:"
        "/opt/java/lib/*\" com.amazonaws.services.lambda.runtime.api.client.AWSLambda "
        "\"$_HANDLER\""};
    return image;
  }
  return std::nullopt;
}

std::string published_base(std::string_view runtime) {
  if (!is_known_runtime(runtime)) return {};
  for (auto [name, published] : published_names)
    if (runtime == name) return std::string(published);
  std::string_view family = family_of(runtime);
  std::string_view version = runtime.substr(family.size());
  if (version.starts_with('.')) version.remove_prefix(1);
  if (version.ends_with(".x")) version.remove_suffix(2);
  return std::string(family) + (version.empty() ? "" : ":") + std::string(version);
}

std::vector<std::string> runtimes_like(std::string_view runtime) {
  std::vector<std::string> like;
  std::string_view family = family_of(runtime);
  for (std::string_view each : known_runtimes) {
    if (each != runtime && family_of(each) == family) like.emplace_back(each);
  }
  return like;
}

std::vector<std::string> base_recipe_names() {
  std::vector<std::string> names;
  for (std::string_view runtime : {"provided.al2023", "python3.11", "nodejs18.x", "java17"}) {
    names.push_back(std::string(kRecipePrefix) + std::string(runtime));
  }
  return names;
}

}  // namespace berth::functions
