// Shorthands for the elements of the page.

export const element = (id) => document.getElementById(id);
export const on = (id, event, listener) => element(id).addEventListener(event, listener);

// make returns an element with properties and children; texts become text.
export function make(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}
