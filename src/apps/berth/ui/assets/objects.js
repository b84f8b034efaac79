// Images, networks and volumes: lists with a filter and removal.
import {call} from "./api.js";
import {ask, fill, h, say} from "./dom.js";
import {engine, nameOf, on, refresh} from "./engine.js";
import {age, bytes, date, moment, plural, shortId} from "./format.js";
import {iconButton} from "./icons.js";

const usersOf = (test) => (engine.containers ?? []).filter(test);

function users(containers) {
  if (containers.length === 0) return h("span", {class: "faint"}, "unused");
  const shown = containers.slice(0, 3).map((container) => h("a", {class: "chip", href: `#/containers/${container.Id}/overview`}, nameOf(container)));
  if (containers.length > 3) shown.push(h("span", {class: "faint"}, `+${containers.length - 3}`));
  return shown;
}

// A view of one kind of object. columns: [[title, class, (object) => node or text]]
function list(main, {search}, {kind, title, objects, texts, columns, name, remove, empty}) {
  const body = h("tbody", {});
  const nothing = h("div", {class: "empty", role: "status"});
  const summary = h("p", {class: "totals"});
  const table = h("table", {class: "list"}, h("caption", {class: "sr"}, title), h("thead", {}, h("tr", {},
    columns.map(([text, style]) => h("th", {scope: "col", class: style}, text)),
    h("th", {scope: "col"}, h("span", {class: "sr"}, "Actions")))), body);
  fill(main, h("div", {class: "head"}, h("h1", {}, title), summary), table, nothing);

  async function removeOne(object) {
    const question = remove.question(object);
    if (!(await ask({...question, confirm: "Remove", dangerous: true}))) return;
    try {
      await call("DELETE", remove.path(object), {query: remove.query?.(object)});
      say(`${name(object)} removed`);
    } catch (error) {
      say(error.message, "error");
    }
    refresh(kind, 0);
  }

  function row(object) {
    const refusal = remove.refusal?.(object);
    const button = iconButton("remove", refusal ?? `Remove ${name(object)}`, () => removeOne(object), {disabled: Boolean(refusal)});
    return h("tr", {}, columns.map(([text, style, cell]) => h("td", {class: style, "data-label": text}, cell(object))),
      h("td", {class: "actions"}, button));
  }

  let shown = "";
  function update() {
    if (!engine[kind]) return fill(nothing, h("p", {class: "loading"}, "Loading…"));
    const all = objects();
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = all.filter((object) => words.every((word) => texts(object).join(" ").toLowerCase().includes(word)));
    const state = JSON.stringify([found, engine.containers?.map((one) => [one.Id, one.Names])]);
    if (state === shown) return;
    shown = state;
    fill(summary, plural(all.length, title.slice(0, -1).toLowerCase()));
    fill(body, found.map(row));
    table.hidden = found.length === 0;
    nothing.hidden = found.length > 0;
    if (all.length === 0) fill(nothing, empty);
    else if (found.length === 0) fill(nothing, h("h2", {}, `Nothing matches “${search.value.trim()}”`));
  }

  const offs = [on(kind, update), on("containers", update)];
  search.oninput = update;
  update();
  return () => {
    search.oninput = null;
    for (const off of offs) off();
  };
}

export function images(main, tools) {
  const tags = (image) => (image.RepoTags ?? []).filter((tag) => tag !== "<none>:<none>");
  const label = (image) => tags(image)[0] ?? shortId(image.Id);
  return list(main, tools, {
    kind: "images", title: "Images",
    objects: () => [...engine.images].sort((a, b) => b.Created - a.Created),
    texts: (image) => [...tags(image), image.Id, ...(image.RepoDigests ?? [])],
    name: label,
    columns: [
      ["Name", "who", (image) => h("div", {}, tags(image).length ? tags(image).map((tag) => h("div", {class: "name"}, tag)) : h("div", {class: "name faint"}, "untagged"),
        h("span", {class: "sub"}, shortId(image.Id)))],
      ["Size", "number", (image) => bytes(image.Size)],
      ["Created", "", (image) => h("span", {title: date(image.Created)}, age(image.Created))],
      ["Used by", "users", (image) => users(usersOf((container) => container.ImageID === image.Id))],
    ],
    remove: {
      path: (image) => `/images/${image.Id}`,
      // By its id an image with several names goes only by force.
      query: (image) => tags(image).length > 1 ? {force: 1} : {},
      question: (image) => ({title: `Remove ${label(image)}?`,
        text: tags(image).length > 1 ? `All its names go: ${tags(image).join(", ")}.` : "It can be pulled or built again."}),
      refusal: (image) => usersOf((container) => container.ImageID === image.Id).length ? "In use by a container" : null,
    },
    empty: [h("h2", {}, "No images yet"), h("p", {}, "Build, pull or make one:"), h("pre", {}, "berth build -t app .\nberth bootstrap busybox")],
  });
}

const predefined = new Set(["bridge", "host", "none"]);
export function networks(main, tools) {
  const inUse = (network) => usersOf((container) => Object.keys(container.NetworkSettings?.Networks ?? {}).includes(network.Name));
  const subnets = (network) => (network.IPAM?.Config ?? []).map((pool) => pool.Subnet).filter(Boolean);
  return list(main, tools, {
    kind: "networks", title: "Networks",
    objects: () => [...engine.networks].sort((a, b) => predefined.has(b.Name) - predefined.has(a.Name) || a.Name.localeCompare(b.Name)),
    texts: (network) => [network.Name, network.Id, network.Driver, ...subnets(network)],
    name: (network) => network.Name,
    columns: [
      ["Name", "who", (network) => h("div", {}, h("div", {class: "name"}, network.Name), h("span", {class: "sub"}, shortId(network.Id)))],
      ["Driver", "", (network) => [network.Driver, network.Internal && h("span", {class: "chip"}, "internal")]],
      ["Subnet", "", (network) => subnets(network).join(", ") || h("span", {class: "faint"}, "–")],
      ["Used by", "users", (network) => users(inUse(network))],
    ],
    remove: {
      path: (network) => `/networks/${network.Id}`,
      question: (network) => ({title: `Remove the network ${network.Name}?`, text: "Its addresses are free again."}),
      refusal: (network) => predefined.has(network.Name) ? "Part of the engine" : inUse(network).length ? "In use by a container" : null,
    },
    empty: [h("h2", {}, "No networks")],
  });
}

export function volumes(main, tools) {
  const inUse = (volume) => usersOf((container) => (container.Mounts ?? []).some((mount) => mount.Type === "volume" && mount.Name === volume.Name));
  return list(main, tools, {
    kind: "volumes", title: "Volumes",
    objects: () => [...engine.volumes].sort((a, b) => a.Name.localeCompare(b.Name)),
    texts: (volume) => [volume.Name, volume.Driver, volume.Mountpoint],
    name: (volume) => volume.Name,
    columns: [
      ["Name", "who", (volume) => h("div", {}, h("div", {class: "name"}, /^[0-9a-f]{64}$/.test(volume.Name) ? [shortId(volume.Name), h("span", {class: "chip"}, "anonymous")] : volume.Name),
        h("span", {class: "sub"}, volume.Mountpoint))],
      ["Driver", "", (volume) => volume.Driver],
      ["Created", "", (volume) => {
        const created = moment(volume.CreatedAt);
        return created ? h("span", {title: date(created)}, age(created)) : "–";
      }],
      ["Used by", "users", (volume) => users(inUse(volume))],
    ],
    remove: {
      path: (volume) => `/volumes/${encodeURIComponent(volume.Name)}`,
      question: (volume) => ({title: `Remove the volume ${volume.Name}?`, text: "What it holds is lost."}),
      refusal: (volume) => inUse(volume).length ? "In use by a container" : null,
    },
    empty: [h("h2", {}, "No volumes yet"), h("pre", {}, "berth volume create data")],
  });
}
