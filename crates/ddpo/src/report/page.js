"use strict";
// The slider: each stop names the grid of every run, and the pictures of a run show another part of the page's hidden images.
for (const slider of document.querySelectorAll(".slider")) {
  const [input, output] = [slider.querySelector("input"), slider.querySelector("output")];
  const stops = [...slider.querySelectorAll("li")];
  const pictures = slider.closest(".pictures");
  const show = () => {
    const stop = stops[input.valueAsNumber];
    output.textContent = stop.textContent;
    input.setAttribute("aria-valuetext", stop.textContent);
    for (const pair of stop.dataset.show.split(" ")) {
      const [run, grid] = pair.split("=");
      for (const use of pictures.querySelectorAll(`use[data-run="${run}"]`)) use.setAttribute("href", `#${grid}`);
    }
  };
  input.addEventListener("input", show);
  show();
  slider.hidden = false;
}
