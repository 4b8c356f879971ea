// Light or dark: as the system has it, until the button says otherwise; kept where that is allowed.
const themeButton = document.getElementById("theme");
const prefersDark = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : prefersDark.matches;
}

function nameTheme() {
  themeButton.textContent = isDark() ? "Light" : "Dark";
  themeButton.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`);
}

function keptTheme(theme) {
  try {
    if (theme) localStorage.setItem("seqrec-theme", theme);
    return localStorage.getItem("seqrec-theme");
  } catch {
    return null; // storage is switched off: the choice holds for this visit
  }
}

themeButton.addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  keptTheme(theme);
  nameTheme();
});
prefersDark.addEventListener("change", nameTheme);
if (["light", "dark"].includes(keptTheme())) document.documentElement.dataset.theme = keptTheme();
themeButton.hidden = false;
nameTheme();

// Paper can't be clicked: what is folded by default is open on it.
const folds = [...document.querySelectorAll("#methods details, #together details, #finding details")];
let wereOpen = [];
addEventListener("beforeprint", () => {
  wereOpen = folds.map((fold) => fold.open);
  for (const fold of folds) fold.open = true;
});
addEventListener("afterprint", () => folds.forEach((fold, place) => { fold.open = wereOpen[place]; }));
