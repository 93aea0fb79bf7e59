"""The style sheet of the pages about audiences and campaigns: dark where the reader is, narrow on a phone."""

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --ink: #1c2530; --quiet: #5b6671; --rule: #dfe3e6;
  --mark: #2f6f8f; --fill: #9cc4d6; --heat: 47, 111, 143; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14181c; --ink: #dfe5ea; --quiet: #98a4af; --rule: #2c343b;
    --mark: #7fc0dc; --fill: #2f6076; --heat: 90, 170, 205; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 64rem; padding: 0 1rem;
  background: var(--page); color: var(--ink); }
h1 { font-size: 1.6rem; margin: 0; } h2 { font-size: 1.2rem; margin: 3rem 0 .5rem; }
h3 { font-size: 1rem; margin: 2rem 0 .3rem; } a { color: var(--mark); }
p { margin: .4rem 0; max-width: 44rem; } .quiet, caption { color: var(--quiet); }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 1rem;
  margin: 1.5rem 0 0; }
dl div { border-top: 2px solid var(--mark); padding-top: .3rem; }
dt { color: var(--quiet); font-size: .85rem; }
dd { margin: 0; font-size: 1.35rem; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
caption { text-align: left; font-size: .85rem; padding-bottom: .3rem; }
th, td { text-align: left; padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--rule);
  font-weight: normal; vertical-align: top; }
thead th { color: var(--quiet); font-size: .8rem; vertical-align: bottom; }
tbody th { overflow-wrap: anywhere; min-width: 9rem; } tbody th small, td small { display: block; }
small { color: var(--quiet); font-size: .8rem; }
.n { text-align: right; white-space: nowrap; }
.day { min-width: 7.5rem; overflow-wrap: anywhere; } .day span { white-space: nowrap; }
.drawn { min-width: 6rem; width: 18%; padding-top: .6rem; }
.loads { max-width: 30rem; margin-bottom: 2rem; } .loads .drawn { width: 45%; }
.bar { background: var(--mark); height: .7rem; border-radius: 2px; min-width: 1px; }
.spark { display: block; width: 100%; height: 1.1rem; }
.line { fill: none; stroke: var(--mark); stroke-width: 1.6; vector-effect: non-scaling-stroke; }
.goal { stroke: var(--ink); stroke-dasharray: 5 4; } .area { fill: var(--fill); }
.keys { font-size: .85rem; color: var(--quiet); } .keys span { margin-right: 1.2rem; }
.keys span::before { content: ""; display: inline-block; width: 1.4rem; margin-right: .4rem;
  vertical-align: .2rem; border-top: 3px solid var(--mark); }
.keys .goal-key::before { border-top: 2px dashed var(--ink); }
.plot { margin: 1rem 0 .5rem; } .plot svg { display: block; width: 100%; height: 11rem;
  border-bottom: 1px solid var(--quiet); }
.top, .ticks { color: var(--quiet); font-size: .8rem; font-variant-numeric: tabular-nums; }
.top { border-bottom: 1px dotted var(--rule); }
.ticks { display: flex; justify-content: space-between; gap: .5rem; padding-top: .2rem; }
.heat { width: auto; } .heat td { text-align: right; padding: .25rem .35rem; min-width: 2.2rem;
  border: 1px solid var(--page); background: rgba(var(--heat), calc(var(--part) * .6)); }
.heat thead th { text-align: right; padding-right: .35rem; } .heat tbody th { white-space: nowrap; }
.heat tbody th, .heat thead th:first-child { position: sticky; left: 0; background: var(--page); }
details { margin: .7rem 0; } summary { cursor: pointer; color: var(--mark); }
@media (max-width: 40rem) {
  body { margin: 1rem auto; } .wide, .day small { display: none; } .day { min-width: 5.5rem; }
  .heat tbody th { white-space: normal; min-width: 7rem; max-width: 9rem; font-size: .8rem; }
  th, td { padding-right: .5rem; } }
"""
