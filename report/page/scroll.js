// What is wider than its frame fades out on the side where there is more of it.
const frames = [...document.querySelectorAll(".scroll")];
const resized = new ResizeObserver((entries) => new Set(entries.map(({ target }) => target.closest(".scroll"))).forEach(fade));

function fade(frame) {
  const left = frame.scrollWidth - frame.clientWidth - frame.scrollLeft;
  frame.classList.toggle("more", left > 2);
}

function watchFrame(frame) {
  frame.addEventListener("scroll", () => fade(frame), { passive: true });
  for (const element of [frame, frame.firstElementChild]) if (element) resized.observe(element);
}

frames.forEach(watchFrame);
