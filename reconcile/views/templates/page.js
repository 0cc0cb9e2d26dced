
"use strict";
(() => {
  // The data is in this page, in the short form that views/page_data.py writes. Names in it come from elsewhere, so
  // everything is made with createElement and textContent: nothing is ever parsed as markup.
  const data = JSON.parse(document.getElementById("data").textContent);
  const [ROWS, GROUPS, ITEMS, OPEN] = [100, 50, 100, 60]; // how many are drawn at first; how many changes are shown unfolded
  const NOBODY = "No character";
  const $ = (id) => document.getElementById(id);
  const number = (n) => n.toLocaleString("en");
  const count = (n, one) => `${number(n)} ${n === 1 ? one : `${one}s`}`;
  const of = (n, all) => (n === all ? "" : `${number(n)} of `);
  const text = (said) => (said.startsWith("\t") ? data.uri + said.slice(1) : said);

  function el(tag, attributes, ...content) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes ?? {})) {
      if (typeof value === "function") made.addEventListener(name, value);
      else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
    }
    made.append(...content.filter((each) => each !== undefined && each !== ""));
    return made;
  }

  // -- the data, expanded --

  const types = data.types.map(([label, id]) => ({ label, id }));
  const MARKS = ["none", "good", "todo", "look"];
  const SYMBOLS = { good: "✓", todo: "▲", look: "!" };

  function unfoldCell([type, mark, wanted, inSync, toDo, local, bucket, records]) {
    if (inSync === undefined) [inSync, toDo, local, bucket, records] = [wanted, 0, wanted, wanted, wanted];
    return { type, mark: MARKS[mark], wanted, inSync, toDo, local, bucket, records };
  }

  function unfoldChange([kind, type, reason, where, values = [], key = "", note = "", picture], character, all) {
    const [style, name, sign] = data.kinds[kind];
    const about = text(typeof key === "number" ? all[key][3] : key);
    const pairs = values.map(([who, said]) => [["was", "now"][who] ?? who, value(said, about)]);
    const place = where.startsWith(" › ") ? character.name + where : text(where);
    return { style, name, sign, type, reason: data.reasons[reason], where: place, pairs, note, picture, character };
  }

  function value(said, key) {
    if (said === undefined) return data.uri + key;
    if (typeof said === "string") return text(said);
    const [root, slash] = data.roots[said];
    return root + key.replaceAll("/", slash);
  }

  const characters = data.characters.map(([name, total, counts, cells, changes], at) => {
    const made = { at, name: name ?? NOBODY, id: name, total, counts, findings: [] };
    made.cells = new Map(cells.map((each) => [each[0], unfoldCell(each)]));
    made.changes = changes.map((each) => unfoldChange(each, made, changes));
    return made;
  });

  const groups = data.groups.map(([severity, code, title, total, hints, rows]) => {
    const made = { severity, code, title, total, hints };
    made.findings = rows.map(([subject, message, who, type, conflict, hint]) => {
      const character = characters[who]; // undefined if there is none
      const found = { subject: text(subject), message: text(message), character, type, conflict, hint, group: made };
      character?.findings.push(found);
      return found;
    });
    return made;
  });

  const [characterCount, changeCount] = data.counts; // including those that the page has no room for
  const columns = types
    .map((_, type) => type)
    .filter((type) => characters.some((each) => (each.cells.get(type)?.mark ?? "none") !== "none"));

  // -- search --

  const filter = { query: "", state: "all", type: -1, who: "", order: "worst" };

  function words(each) {
    each.words ??= [
      each.name,
      each.where,
      each.subject,
      each.message,
      each.group?.title,
      each.group?.code,
      types[each.type]?.label,
      ...(each.pairs ?? []).map(([, said]) => said),
    ]
      .join("\n")
      .toLowerCase();
    return each.words;
  }

  const ofState = {
    all: () => true,
    you: (who) =>
      filter.type < 0
        ? who.counts[0] + who.counts[1] > 0
        : who.findings.some((each) => ofType(each) && isSevere(each, "you")),
    error: (who) =>
      filter.type < 0 ? who.counts[0] > 0 : who.findings.some((each) => ofType(each) && isSevere(each, "error")),
    todo: (who, cell) => (filter.type < 0 ? who.total > 0 : cell?.mark === "todo" || who.changes.some(ofType)),
    sync: (who, cell) => (filter.type < 0 ? who.total + who.counts[0] + who.counts[1] === 0 : cell?.mark === "good"),
  };
  const isSevere = ({ group }, state) =>
    group.severity === "error" || (state === "you" && group.severity === "warning");
  // A finding about a record has no asset type, so it is shown with what a person must look at.
  const isOfType = (each, type) =>
    each.type === type || (each.group && each.type < 0 && each.character?.cells.get(type)?.mark === "look");
  const ofType = (each) => filter.type < 0 || isOfType(each, filter.type);

  // Returns what of a character is shown: nothing, or the changes and findings that match.
  function seen(who) {
    if (filter.who && who.name.toLowerCase() !== filter.who.toLowerCase()) return null;
    const cell = who.cells.get(filter.type);
    if (!ofState[filter.state](who, cell)) return null;
    const isNamed = who.name.toLowerCase().includes(filter.query);
    const fits = (each) => ofType(each) && (isNamed || words(each).includes(filter.query));
    const [changes, findings] = [who.changes.filter(fits), who.findings.filter(fits)];
    const isShown =
      changes.length + findings.length > 0 || (isNamed && (filter.type < 0 || (cell && cell.mark !== "none")));
    return isShown ? { who, changes, findings } : null;
  }

  function fitsFinding(found, shown) {
    if (["you", "error"].includes(filter.state) && !isSevere(found, filter.state)) return false;
    if (found.character) return shown.get(found.character)?.findings.includes(found) ?? false;
    if (filter.who && filter.who.toLowerCase() !== NOBODY.toLowerCase()) return false;
    return !["todo", "sync"].includes(filter.state) && ofType(found) && words(found).includes(filter.query);
  }

  const collator = new Intl.Collator("en", { numeric: true });
  const ORDERS = {
    worst: (a, b) => a.who.at - b.who.at,
    name: (a, b) => collator.compare(a.who.name, b.who.name),
    changes: (a, b) => b.who.total - a.who.total || a.who.at - b.who.at,
    findings: (a, b) => b.who.findings.length - a.who.findings.length || a.who.at - b.who.at,
  };

  // -- pieces --

  const code = (said) => el("code", {}, said);
  const name = (said) => el("span", { class: "name" }, said);
  const button = (attributes, ...content) => el("button", { type: "button", ...attributes }, ...content);

  function say(said) {
    $("said").textContent = "";
    $("said").textContent = said;
  }

  async function copy(said, pressed) {
    try {
      await navigator.clipboard.writeText(said);
    } catch {
      // a page that came over plain http has no clipboard
      const area = el("textarea", { class: "hidden" });
      area.value = said;
      pressed.after(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      pressed.focus();
    }
    pressed.textContent = "Copied";
    say(`Copied: ${said}`);
    setTimeout(() => {
      pressed.textContent = "Copy";
    }, 1500);
  }

  function command(said) {
    const copier = button({ class: "small", "aria-label": `Copy ${said}`, click: () => copy(said, copier) }, "Copy");
    // Words are not broken, so that no line ends within an option.
    const parts = said
      .split(" ")
      .flatMap((word) => [" ", el("span", {}, word)])
      .slice(1);
    return el("span", { class: "command" }, el("code", {}, ...parts), copier);
  }

  // One of our hints: text in backticks is code, and a whole command can be copied.
  function hinted(hint) {
    const parts = hint.split("`").map((part, at) => (at % 2 === 0 ? part : code(part)));
    const whole = hint
      .split("`")
      .filter((part, at) => at % 2 === 1 && /^reconcile [a-z][\w ./=-]*$/.test(part) && !/[A-Z]{2}/.test(part));
    return [el("p", { class: "soft" }, "To do: ", ...parts, "."), ...whole.map(command)];
  }

  function picture(number, alt) {
    return data.pictures[number] ? el("img", { class: "pic", src: data.pictures[number], alt }) : undefined;
  }

  // A list of which only the first items are drawn until the reader wants more.
  function inParts(items, size, draw, into, noun) {
    let drawn = 0;
    const bar = el("p", { class: "more" });
    const showNext = (first) => {
      more(drawn + size);
      into.children[first + size]?.querySelector("button, summary")?.focus();
    };
    const more = (upTo) => {
      const first = drawn;
      into.append(...items.slice(drawn, upTo).map(draw));
      drawn = Math.min(items.length, upTo);
      if (drawn === items.length) return bar.replaceChildren();
      const step = Math.min(size, items.length - drawn);
      bar.replaceChildren(
        `${number(drawn)} of ${count(items.length, noun)} shown`,
        button({ click: () => showNext(first) }, `Show ${step} more`),
        button({ click: () => more(items.length) }, "Show all"),
      );
    };
    more(size);
    return {
      bar,
      more,
      get drawn() {
        return drawn;
      },
    };
  }

  function change(each, where = true) {
    const label = types[each.type]?.label;
    return el(
      "li",
      {},
      picture(each.picture, "the local file"),
      el("span", { class: `sign ${each.style}`, "aria-hidden": "true" }, each.sign),
      each.name,
      label ? ", " : "",
      label && where ? toCell(each.character, each.type, label) : label ? name(label) : "",
      ": ",
      code(each.where),
      " ",
      el("span", { class: "soft" }, each.note ? `${each.note}, ` : "", each.reason),
      ...each.pairs.map(([who, said]) =>
        el("div", { class: "value" }, el("span", { class: "soft name" }, who), code(said)),
      ),
    );
  }

  function finding(each, where = true) {
    const made = el("li", {}, code(each.subject));
    if (each.message) made.append(": ", name(each.message));
    if (where && each.character) made.append(" ", toCell(each.character, each.type));
    if (each.hint) made.append(...hinted(each.hint));
    if (each.conflict) {
      const [sides, ways] = each.conflict;
      made.append(
        el(
          "div",
          { class: "sides" },
          ...sides.map(([side, size, when, kind, shown]) =>
            el(
              "div",
              { class: "side" },
              el("p", {}, el("b", {}, side)),
              picture(shown, `${each.subject}, ${side.toLowerCase()}`),
              el("p", {}, size),
              el("p", {}, when || "no time"),
              el("p", {}, kind),
            ),
          ),
        ),
      );
      for (const [wanted, said] of ways) made.append(el("p", {}, `To ${wanted}: `), command(said));
    }
    return made;
  }

  function toCell(who, type, label = who.name) {
    const [hasCell, place] = [who.cells.has(type), types[type]?.label];
    const said = hasCell ? `${place} of ${who.name}` : who.name;
    return button({ class: "link", title: `Show ${said}`, click: () => open(who, hasCell ? type : -1) }, label);
  }

  // -- the grid --

  let rows = { more() {}, drawn: 0 };
  let shownRows = [];

  function inWords(cell) {
    const where = `${cell.local} here, ${cell.bucket} in the bucket, ${cell.records} in records`;
    const more = { todo: `, ${cell.toDo} to do`, look: ", see the findings" }[cell.mark] ?? "";
    return `${cell.inSync} of ${cell.wanted} in step${more}: ${where}`;
  }

  function cellOf(who, type) {
    const cell = who.cells.get(type);
    if (!cell || cell.mark === "none") return el("td", {}, el("span", { class: "none" }, "·"));
    const said = cell.mark === "good" ? number(cell.wanted) : `${number(cell.inSync)}/${number(cell.wanted)}`;
    return el(
      "td",
      {},
      button(
        {
          tabindex: "-1",
          class: `mark ${cell.mark}`,
          title: inWords(cell),
          "data-type": type,
          "aria-label": `${who.name}, ${types[type].label}: ${inWords(cell)}`,
          click: () => open(who, type),
        },
        `${SYMBOLS[cell.mark]} ${said}`,
      ),
    );
  }

  function rowOf({ who }) {
    const [errors, warnings] = who.counts;
    const flag = (n, kind) =>
      el(
        "span",
        { class: `badge ${kind}`, title: count(n, kind) },
        el("span", { "aria-hidden": "true" }, `${n}`),
        el("span", { class: "hidden" }, count(n, kind)),
      );
    const opener = button({ tabindex: "-1", class: "link name", click: () => open(who, -1) }, who.name);
    return el(
      "tr",
      {},
      el("th", { scope: "row" }, opener),
      el("td", {}, errors ? flag(errors, "error") : "", warnings ? flag(warnings, "warning") : ""),
      el("td", {}, who.total ? number(who.total) : el("span", { class: "none" }, "·")),
      ...shownColumns().map((type) => cellOf(who, type)),
    );
  }

  const shownColumns = () => (filter.type < 0 ? columns : [filter.type]);

  function drawGrid(shown) {
    shownRows = shown;
    if (!characters.length) return;
    const body = el("tbody", { keydown: walk });
    const heads = ["Character", "Needs you", "Changes", ...shownColumns().map((type) => types[type].label)];
    const table = el(
      "table",
      { class: "grid" },
      el(
        "caption",
        { class: "hidden" },
        "Each character's assets by type. The arrow keys move between cells, and Enter opens one.",
      ),
      el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, name(head))))),
      body,
    );
    rows = inParts(shown, ROWS, rowOf, body, "character");
    body.querySelector("button")?.setAttribute("tabindex", "0");
    const box = el(
      "div",
      {
        class: "card scroll",
        tabindex: "0",
        role: "group",
        "aria-label": "Grid of the characters, which may be wider than the screen",
      },
      table,
    );
    $("grid").replaceChildren(shown.length ? box : el("p", {}, "No character fits."), rows.bar);
  }

  // The whole grid is one stop of the Tab key; arrow keys move within it.
  function walk(event) {
    const steps = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };
    const [down, right] = steps[event.key] ?? [];
    const from = event.target.closest("th, td");
    if (down === undefined || !from) return;
    event.preventDefault();
    const table = [...event.currentTarget.rows];
    let [row, column] = [table.indexOf(from.parentElement), from.cellIndex];
    do [row, column] = [row + down, column + right];
    while (table[row]?.cells[column] && !table[row].cells[column].querySelector("button"));
    focusOn(table[row]?.cells[column]?.querySelector("button"));
  }

  function focusOn(found) {
    if (!found) return;
    for (const each of $("grid").querySelectorAll("tbody [tabindex='0']")) each.setAttribute("tabindex", "-1");
    found.setAttribute("tabindex", "0");
    found.focus();
    found.scrollIntoView({ block: "nearest", inline: "nearest" });
    found.classList.add("found"); // also after a mouse click, for which browsers show no focus
    found.addEventListener("blur", () => found.classList.remove("found"), { once: true });
  }

  // Goes to the row of a character, however far down it is, and even if the search hides it.
  function showInGrid(who, type) {
    if (!shownRows.some((each) => each.who === who)) {
      clear();
    }
    const at = shownRows.findIndex((each) => each.who === who);
    if (at >= rows.drawn) rows.more(at + 1);
    const row = $("grid").querySelectorAll("tbody tr")[at];
    focusOn(row.querySelector(`[data-type="${type}"]`) ?? row.querySelector("button"));
  }

  // -- the lists --

  // A folded part of a list, drawn when it is first opened.
  function folded(title, isOpen, draw) {
    const box = el("details", { class: "card" }, el("summary", {}, ...title));
    let isDrawn = false;
    const fill = () => {
      if (!isDrawn) box.append(...draw());
      isDrawn = true;
    };
    box.addEventListener("toggle", () => {
      if (box.open) fill();
    });
    if (isOpen) fill();
    box.open = isOpen;
    return box;
  }

  function listOf(items, draw, noun) {
    const list = el("ul", { class: "list" });
    return [list, inParts(items, ITEMS, draw, list, noun).bar];
  }

  function drawChanges(shown) {
    const some = shown.filter(({ who, changes }) => changes.length || (who.total && !who.changes.length && isPlain()));
    const total = some.reduce((sum, { changes }) => sum + changes.length, 0);
    const list = el("div");
    const part = inParts(
      some,
      GROUPS,
      ({ who, changes }) => {
        const said = of(changes.length, who.changes.length) + count(who.total, "change");
        return folded([name(who.name), " ", el("span", { class: "soft" }, said)], total <= OPEN, () =>
          changesOf(who, changes),
        );
      },
      list,
      "character",
    );
    $("change-list").replaceChildren(list, part.bar, changeCount && !some.length ? el("p", {}, "No change fits.") : "");
    return total;
  }

  function changesOf(who, changes) {
    const where = who.id === null ? "" : ` --char-id ${who.id}`;
    const rest = absent(who.total - who.changes.length, `reconcile plan${where}`);
    return [...listOf(changes, (each) => change(each), "change"), ...rest];
  }

  // The text about what the page has no room for.
  function absent(left, listing) {
    if (!left) return [];
    return [el("p", { class: "soft" }, `${number(left)} more are not on this page: `, code(listing), " lists them.")];
  }

  const isPlain = () => filter.query === "" && filter.type < 0;

  function drawFindings(shown) {
    let total = 0;
    const boxes = [];
    for (const group of groups) {
      const found = group.findings.filter((each) => fitsFinding(each, shown));
      if (!found.length) continue;
      total += found.length;
      const said = of(found.length, group.findings.length) + number(group.total);
      const title = [
        el("span", { class: `badge ${group.severity}` }, group.severity),
        ` ${group.title}: ${said} `,
        el("span", { class: "soft" }, group.code),
      ];
      const isOpen = found.length <= 20 && (group.severity === "error" || !isPlain());
      boxes.push(
        folded(title, isOpen, () => [
          ...group.hints.flatMap(hinted),
          ...listOf(found, (each) => finding(each), "finding"),
          ...absent(group.total - group.findings.length, "reconcile plan --verbose"),
        ]),
      );
    }
    $("finding-list").replaceChildren(...boxes, groups.length && !boxes.length ? el("p", {}, "No finding fits.") : "");
    return total;
  }

  function update() {
    filter.query = $("query").value.trim().toLowerCase();
    filter.state = $("state").value;
    filter.type = Number($("type").value);
    filter.who = $("who").value.trim();
    filter.order = $("order").value;
    const shown = characters.map(seen).filter(Boolean).sort(ORDERS[filter.order]);
    const found = drawFindings(new Map(shown.map((each) => [each.who, each])));
    drawGrid(shown);
    const changed = drawChanges(shown);
    const all = filter.state === "all" && isPlain() && !filter.who;
    $("count").textContent = all
      ? ""
      : `${number(shown.length)} of ${count(characterCount, "character")}, ${number(changed)} of ${count(changeCount, "change")}, ${count(found, "finding")}`;
  }

  function clear() {
    $("tools").reset();
    update();
  }

  // -- one character, or one cell --

  // The place is in the address, so that Back in the browser leads back to the grid.
  function open(who, type) {
    location.hash = `at=${who.at}${type < 0 ? "" : `.${type}`}`;
  }

  function follow() {
    const [, who, type] = /^#at=(\d+)(?:\.(\d+))?$/.exec(location.hash) ?? [];
    if (characters[who]) {
      draw(characters[who], type === undefined ? -1 : Number(type));
      if (!$("detail").open) $("detail").showModal();
      $("detail").scrollTop = 0;
    } else if ($("detail").open) $("detail").close();
  }

  function draw(who, type) {
    const cell = who.cells.get(type);
    const mine = who.findings.filter((each) => type < 0 || isOfType(each, type));
    const changes = who.changes.filter((each) => type < 0 || each.type === type);
    const parts = [
      el(
        "p",
        { class: "soft" },
        cell
          ? inWords(cell)
          : `${count(who.total, "change")}, ${count(who.counts[0], "error")}, ${count(who.counts[1], "warning")}`,
      ),
    ];
    const section = (title, content) => parts.push(el("h3", {}, title), ...content);
    if (mine.length)
      section("Findings", [...hintsOf(mine), ...listOf(mine, (each) => finding(each, false), "finding")]);
    if (changes.length || (type < 0 && who.total))
      section("Changes", type < 0 ? changesOf(who, changes) : listOf(changes, (each) => change(each, false), "change"));
    else if (!mine.length) parts.push(el("p", {}, "Nothing to do."));
    if (who.id !== null && /^[\w.-]+$/.test(who.id) && who.total) {
      const scope = `--char-id ${who.id}${type >= 0 && types[type].id ? ` --asset-type ${types[type].id}` : ""}`;
      section("Commands", [command(`reconcile plan ${scope}`), command(`reconcile apply ${scope}`)]);
    }
    const finder = button({ click: () => back(() => showInGrid(who, type)) }, "Show in the grid");
    parts.push(el("p", { class: "more" }, finder));
    $("detail-title").replaceChildren(name(type < 0 ? who.name : `${who.name} › ${types[type].label}`));
    $("detail-body").replaceChildren(...parts);
  }

  const hintsOf = (found) => [...new Set(found.flatMap((each) => each.group.hints))].flatMap(hinted);

  // Closes what is open, and removes it from the address.
  let after;
  function back(then) {
    after = then;
    $("detail").close();
  }

  $("detail").addEventListener("close", () => {
    if (location.hash.startsWith("#at=")) history.replaceState(null, "", "#characters");
    after?.();
    after = undefined;
  });
  $("close").addEventListener("click", () => back());
  $("detail").addEventListener("click", (event) => {
    if (event.target === $("detail")) back();
  });
  addEventListener("hashchange", follow);

  // -- the start --

  types.forEach(({ label }, at) => $("type").append(el("option", { value: at }, label)));
  $("names").append(...characters.map((who) => el("option", { value: who.name })));
  let waiting;
  $("tools").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(update, 120); // not for every letter typed
  });
  $("tools").addEventListener("submit", (event) => {
    event.preventDefault();
    update();
  });
  $("clear").addEventListener("click", clear);
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName) && !$("detail").open) {
      event.preventDefault();
      $("query").focus();
    }
  });
  // Nothing can be clicked on paper, so folded parts are opened for printing, and folded again.
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("main details:not([open])")];
    for (const each of opened) each.open = true;
  });
  addEventListener("afterprint", () => {
    for (const each of opened) each.open = false;
  });
  const minutes = Math.floor((Date.now() - new Date($("created").dateTime)) / 60_000);
  const [age, unit] = [
    [minutes / 1440, "day"],
    [minutes / 60, "hour"],
    [minutes, "minute"],
  ].find(([n]) => n >= 1) ?? [0];
  $("age").textContent = unit ? `, ${count(Math.floor(age), unit)} ago` : "";
  $("tools").hidden = false;
  update();
  follow();
})();
