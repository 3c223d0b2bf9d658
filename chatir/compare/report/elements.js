// How the page is built: elements whose texts are texts. Nothing here or elsewhere turns a text into markup.
const SVG = "http://www.w3.org/2000/svg";

/** An element with properties (`class`, `text`, attributes, listeners as functions) and children. */
function element(name, properties = {}, ...children) {
  return filled(document.createElement(name), properties, children);
}

/** The same, of SVG. */
function drawn(name, properties = {}, ...children) {
  return filled(document.createElementNS(SVG, name), properties, children);
}

function filled(made, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

/** A text from a file, kept apart from the direction of what is around it. */
function isolated(text, properties = {}) {
  return element("bdi", { text: readable(text), ...properties });
}

/** Controls, which nobody sees, by their pictures; line ends stay. */
function readable(text) {
  return text.replace(/[\u0000-\u0008\u000b-\u001f]/g, (control) =>
    String.fromCharCode(0x2400 + control.charCodeAt(0)),
  );
}

/** `1,234`. */
function grouped(number) {
  return number.toLocaleString("en-US");
}

/** `1 dialog`, `2 dialogs`. */
function counted(number, what) {
  return `${grouped(number)} ${what}${number === 1 ? "" : "s"}`;
}
