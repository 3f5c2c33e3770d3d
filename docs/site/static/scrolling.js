// What scrolls sideways by itself (code, a wide formula or table) can be reached by the keyboard.
"use strict";

{
  const mark = () => {
    for (const node of document.querySelectorAll("pre, .formula, .table-wrapper")) {
      if (node.scrollWidth > node.clientWidth) node.tabIndex = 0;
      else node.removeAttribute("tabindex");
    }
  };
  window.addEventListener("load", mark);
  window.addEventListener("resize", mark);
}
