// The files lie in assets/; the build compresses them, and the assembler copies them into the program's
// read-only data.
#include "apps/berth/ui/assets.h"

#include <array>

// BERTH_UI_ASSETS is the folder of the compressed files; the build knows that this file depends on them.
#define BERTH_EMBED(symbol, file)                                                  \
  asm(".pushsection .rodata.berth_ui, \"a\", @progbits\n"                          \
      "berth_ui_" #symbol                                                          \
      ":\n"                                                                        \
      ".incbin \"" BERTH_UI_ASSETS "/" file                                        \
      ".gz\"\n"                                                                    \
      "berth_ui_" #symbol                                                          \
      "_end:\n"                                                                    \
      ".byte 0\n"                                                                  \
      ".popsection\n");                                                            \
  extern "C" const char berth_ui_##symbol[] __attribute__((visibility("hidden"))); \
  extern "C" const char berth_ui_##symbol##_end[] __attribute__((visibility("hidden")))

BERTH_EMBED(index, "index.html");
BERTH_EMBED(style, "style.css");
BERTH_EMBED(icon, "icon.svg");
BERTH_EMBED(start, "start.js");
BERTH_EMBED(app, "app.js");
BERTH_EMBED(api, "api.js");
BERTH_EMBED(dom, "dom.js");
BERTH_EMBED(format, "format.js");
BERTH_EMBED(icons, "icons.js");
BERTH_EMBED(engine, "engine.js");
BERTH_EMBED(actions, "actions.js");
BERTH_EMBED(containers, "containers.js");
BERTH_EMBED(container, "container.js");
BERTH_EMBED(logs, "logs.js");
BERTH_EMBED(charts, "charts.js");
BERTH_EMBED(terminal, "terminal.js");
BERTH_EMBED(screen, "screen.js");
BERTH_EMBED(objects, "objects.js");
BERTH_EMBED(events, "events.js");
BERTH_EMBED(keys, "keys.js");

namespace berth::cli::ui {
namespace {

constexpr std::string_view html = "text/html; charset=utf-8";
constexpr std::string_view css = "text/css; charset=utf-8";
constexpr std::string_view script = "text/javascript; charset=utf-8";
constexpr std::string_view svg = "image/svg+xml";

Asset embedded(std::string_view path, std::string_view type, const char* begin, const char* end) {
  return {path, type, {begin, static_cast<size_t>(end - begin)}};
}

#define BERTH_ASSET(path, type, symbol) embedded(path, type, berth_ui_##symbol, berth_ui_##symbol##_end)

}  // namespace

std::span<const Asset> assets() {
  // Built when first asked for, so that other commands pay nothing for it.
  static const std::array files{
      BERTH_ASSET("/", html, index),
      BERTH_ASSET("/style.css", css, style),
      BERTH_ASSET("/icon.svg", svg, icon),
      BERTH_ASSET("/start.js", script, start),
      BERTH_ASSET("/app.js", script, app),
      BERTH_ASSET("/api.js", script, api),
      BERTH_ASSET("/dom.js", script, dom),
      BERTH_ASSET("/format.js", script, format),
      BERTH_ASSET("/icons.js", script, icons),
      BERTH_ASSET("/engine.js", script, engine),
      BERTH_ASSET("/actions.js", script, actions),
      BERTH_ASSET("/containers.js", script, containers),
      BERTH_ASSET("/container.js", script, container),
      BERTH_ASSET("/logs.js", script, logs),
      BERTH_ASSET("/charts.js", script, charts),
      BERTH_ASSET("/terminal.js", script, terminal),
      BERTH_ASSET("/screen.js", script, screen),
      BERTH_ASSET("/objects.js", script, objects),
      BERTH_ASSET("/events.js", script, events),
      BERTH_ASSET("/keys.js", script, keys),
  };
  return files;
}

const Asset* find_asset(std::string_view path) {
  for (const Asset& asset : assets()) {
    if (asset.path == path) return &asset;
  }
  return nullptr;
}

}  // namespace berth::cli::ui
