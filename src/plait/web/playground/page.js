// What all pages of the playground share: finding elements, saying what went wrong,
// colours of the theme, choices and bars.
//
// Read first: `element`, `trouble`, `choice`.

/** Return the element with this id. */
export const element = (id) => document.getElementById(id);

/** Return a new element, with properties and children. */
export function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** Return a small picture of numbers; what it shows is said elsewhere in words. */
export function pixels(size = 1) {
  const canvas = make("canvas", { className: "pixels", width: size, height: size });
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

/** Show what went wrong in plain words; nothing hides what was shown. */
export function trouble(error) {
  const shown = element("trouble");
  shown.textContent = plain(error);
  shown.hidden = false;
  console.error(error);
}

/** Hide what `trouble` has shown: it has been put right. */
export function noTrouble() {
  element("trouble").hidden = true;
}

function plain(error) {
  const message = error?.message ?? String(error);
  if (error instanceof TypeError && /fetch|network|load/i.test(message)) {
    return (
      "A file of this page could not be loaded. Is `plait playground` still running? " +
      "Start it, and reload this page."
    );
  }
  if (/ cannot be had\b| is missing\b| is damaged\b/.test(message)) {
    return (
      "A file of this page is missing or damaged. Run `plait playground` again: it " +
      `builds what is missing. (${message})`
    );
  }
  if (typeof WebAssembly !== "object") {
    return (
      "This browser, or its settings, do not allow WebAssembly, which this page " +
      "computes with. Try another browser."
    );
  }
  return `That did not work: ${message}`;
}

window.addEventListener("error", (event) => trouble(event.error ?? event.message));
window.addEventListener("unhandledrejection", (event) => trouble(event.reason));

/** Return a colour of the theme as it is now, such as `colour("accent")`. */
export function colour(name) {
  return getComputedStyle(document.documentElement)
    .getPropertyValue(`--${name}`)
    .trim();
}

/** Return a colour of the theme as [red, green, blue], 0 to 255. */
export function rgb(name) {
  const digits = colour(name).slice(1);
  return [0, 2, 4].map((at) => parseInt(digits.slice(at, at + 2), 16));
}

/** Call a function now and whenever the theme changes between light and dark. */
export function withTheme(draw) {
  draw();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
}

/**
 * Fill a group with options of which one is chosen.
 *
 * `options` are {value, label, reason, dot}: one with a `reason` cannot be chosen, and
 * the reason is its tooltip. `chosen(value)` is called when another is chosen.
 */
export function choice(group, name, options, value, chosen) {
  group.replaceChildren(
    ...options.map((option) => {
      const input = make("input", {
        type: "radio",
        name,
        value: option.value,
        checked: option.value === value,
        disabled: Boolean(option.reason),
        title: option.reason ?? "",
      });
      input.addEventListener("change", () => chosen(option.value));
      const face = make("span", { className: "face" });
      if (option.dot !== undefined) {
        face.append(make("span", { className: `dot dot-${option.dot}` }));
      }
      face.append(option.label);
      return make("label", { title: option.reason ?? "" }, input, face);
    }),
  );
}

/** Return a number in few digits, such as 12,300 or 0.032. */
export function brief(number) {
  if (number >= 100) {
    return Math.round(Number(number.toPrecision(3))).toLocaleString("en");
  }
  return String(Number(number.toPrecision(2)));
}

/** A list of names with a bar and a percentage each. */
export class Bars {
  constructor(list, names) {
    this.rows = names.map((name) => {
      const row = {
        name: make("span", { className: "name", textContent: name }),
        fill: make("div", { className: "fill" }),
        amount: make("span", { className: "amount number", textContent: "" }),
      };
      row.item = make(
        "li",
        {},
        row.name,
        make("div", { className: "track" }, row.fill),
        row.amount,
      );
      return row;
    });
    list.replaceChildren(...this.rows.map((row) => row.item));
  }

  /** Show shares between 0 and 1; `names`, if given, replace the names. */
  show(shares, names) {
    const best = Math.max(...shares);
    this.rows.forEach((row, i) => {
      const share = shares[i] ?? 0;
      row.fill.style.transform = `scaleX(${share})`;
      row.amount.textContent = shares.length ? percent(share) : "";
      row.item.classList.toggle("first", shares.length > 0 && share === best);
      if (names) {
        row.name.textContent = names[i] ?? "";
      }
    });
  }
}

/** Return a share between 0 and 1 as text, such as 97 %. */
export function percent(share, digits = 0) {
  return `${(100 * share).toFixed(digits)} %`;
}

/** Draw numbers as shades on a small canvas, one pixel for each. */
export function shade(
  canvas,
  values,
  width,
  height,
  { from = "sunken", to = "cell", most } = {},
) {
  const low = rgb(from);
  const high = rgb(to);
  const top = (most ?? values.reduce((a, b) => Math.max(a, b), 0)) || 1;
  paint(canvas, width, height, (at, pixels) => {
    const share = Math.min(1, Math.max(0, values[at] / top));
    for (let c = 0; c < 3; c++) {
      pixels[4 * at + c] = low[c] + share * (high[c] - low[c]);
    }
  });
}

/** Draw numbers of both signs: one colour for those above 0, another below. */
export function shadeSigned(canvas, values, width, height, most) {
  const zero = rgb("surface");
  const ends = [rgb("class-1"), rgb("class-0")];
  const top = (most ?? values.reduce((a, b) => Math.max(a, Math.abs(b)), 0)) || 1;
  paint(canvas, width, height, (at, pixels) => {
    const share = Math.min(1, Math.abs(values[at]) / top);
    const end = ends[values[at] > 0 ? 1 : 0];
    for (let c = 0; c < 3; c++) {
      pixels[4 * at + c] = zero[c] + share * (end[c] - zero[c]);
    }
  });
}

function paint(canvas, width, height, set) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let at = 0; at < width * height; at++) {
    set(at, image.data);
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
