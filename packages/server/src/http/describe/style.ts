/** The look of the pages: the reader's own colours (light or dark) and fonts, and tables that scroll on a phone. */
export const stylesheet = `:root {
  color-scheme: light dark;
  --line: light-dark(#c4c8d0, #454b57);
  --soft: light-dark(#f2f4f7, #1f242d);
  --dim: light-dark(#4a5260, #aab3c2);
  --link: light-dark(#0b57b8, #8ab8ff);
  background: light-dark(#ffffff, #14171c);
  color: light-dark(#14171c, #e8ebf0);
  font: 16px/1.55 system-ui, sans-serif;
}
body { margin: 0 auto; max-width: 64rem; padding: 0 1rem 4rem; overflow-wrap: break-word; }
a { color: var(--link); }
a:focus-visible, pre:focus-visible, .wide:focus-visible, summary:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { position: static; }
header, footer { border-block: 1px solid var(--line); margin-block: 1rem; padding-block: .6rem; }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1rem; list-style: none; margin: 0; padding: 0; }
nav a[aria-current] { font-weight: 700; text-decoration: none; }
nav a { display: inline-block; padding: .3rem 0; }
h1 { font-size: 1.7rem; line-height: 1.2; }
h2 { font-size: 1.25rem; border-top: 1px solid var(--line); margin-top: 2.5rem; padding-top: 1rem; scroll-margin-top: 1rem; }
h3 { font-size: 1rem; margin-bottom: .3rem; }
code, pre { font-family: ui-monospace, monospace; font-size: .875em; }
pre { background: var(--soft); border: 1px solid var(--line); border-radius: .4rem; margin: .3rem 0 0; max-height: 26rem; overflow: auto; padding: .7rem; white-space: pre-wrap; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; min-width: 40rem; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .35rem .8rem .35rem 0; text-align: left; vertical-align: top; }
th { font-weight: 600; }
.method { font-weight: 700; }
.dim { color: var(--dim); }
summary { cursor: pointer; padding: .3rem 0; }
`;
