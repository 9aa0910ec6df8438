"""The style sheet of the page: paper, ink and quiet colours; dark where the reader prefers it; made to be printed."""

from __future__ import annotations

from llamafile_format.reports.palette import CLASS_COLORS

_BASE = """
:root{--paper:#fbfaf6;--card:#fffefb;--ink:#1f1d1a;--soft:#5f5a52;--line:#ddd7ca;--hair:#ebe6db;--accent:#7a2e2a;
--yes:#2f6b3c;--no:#a32620;--maybe:#8a5a00;--frame:#1f1d1a}
@media (prefers-color-scheme:dark){:root{--paper:#171614;--card:#1e1d1a;--ink:#ece7dd;--soft:#a9a294;--line:#3a372f;
--hair:#2a2823;--accent:#e39a86;--yes:#86c794;--no:#f0938a;--maybe:#e0b35a;--frame:#ece7dd}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 "Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua","TeX Gyre Pagella",Georgia,serif}
main{max-width:980px;margin:0 auto;padding:56px 32px 72px}
.kicker,h2,dt,th,.badge b,.caption b,.tick-text,.head,.legend,footer,.group,.leaf{
font-family:"Gill Sans","Gill Sans MT","Optima","Avenir Next","Segoe UI","Helvetica Neue",Arial,sans-serif}
.kicker{letter-spacing:.14em;text-transform:uppercase;font-size:12px;color:var(--accent);margin:0 0 14px}
h1{font-weight:500;font-size:46px;line-height:1.08;letter-spacing:-.01em;margin:0 0 14px;overflow-wrap:anywhere}
.lead{font-size:20px;line-height:1.45;color:var(--soft);margin:0 0 26px;max-width:40em}
h2{font-size:13px;font-weight:600;letter-spacing:.13em;text-transform:uppercase;color:var(--accent);
border-top:1px solid var(--line);padding-top:16px;margin:52px 0 18px;break-after:avoid}
h2.name{text-transform:none;letter-spacing:0;font-size:16px;overflow-wrap:anywhere}
a{color:inherit}
h3{font-weight:500;font-size:20px;margin:30px 0 10px;break-after:avoid}
p{margin:0 0 12px;max-width:44em}
code,.mono,.digest,td.num,text.num{
font-family:ui-monospace,"SF Mono","Cascadia Mono","DejaVu Sans Mono",Menlo,Consolas,monospace}
code,.mono{font-size:.84em;overflow-wrap:anywhere}
.badges{display:flex;flex-wrap:wrap;gap:10px;margin:0 0 8px;padding:0;list-style:none}
.badge{border:1px solid var(--line);border-radius:3px;padding:6px 12px;background:var(--card);font-size:15px}
.badge b{font-size:12px;letter-spacing:.06em;font-weight:600;margin-left:8px;text-transform:uppercase}
.yes{color:var(--yes)}.no{color:var(--no)}.undetermined{color:var(--maybe)}.dim{color:var(--soft)}
dl{display:grid;grid-template-columns:minmax(120px,180px) 1fr;margin:0;border-bottom:1px solid var(--hair)}
dt,dd{padding:7px 0;margin:0;border-top:1px solid var(--hair)}
dt{color:var(--soft);font-size:13.5px;line-height:1.85}
dd{overflow-wrap:anywhere;padding-left:16px}
table{border-collapse:collapse;width:100%;font-size:15px}
th{text-align:left;font-weight:500;font-size:12.5px;color:var(--soft);border-bottom:1px solid var(--line)}
th,td{padding:7px 12px 7px 0;vertical-align:top}
td{border-bottom:1px solid var(--hair)}
tr{break-inside:avoid}
td.num,th.num{text-align:right;white-space:nowrap}
td.num{font-size:13px}
.digest{display:block;font-size:11.5px;line-height:1.5;
color:var(--soft);overflow-wrap:anywhere}
td.path{overflow-wrap:anywhere;min-width:9em}
td.bar{width:38%;padding-right:0}th .swatch{margin-right:6px}
.scroll{overflow-x:auto}
figure{margin:18px 0 8px;break-inside:avoid}
figcaption,.caption{font-size:14px;color:var(--soft);margin:10px 0 0;max-width:48em}
svg{display:block;width:100%;height:auto}
.sample{display:grid;grid-template-columns:minmax(0,1fr) 190px;gap:28px;align-items:start}
.legend{list-style:none;margin:26px 0 0;padding:0;font-size:13.5px;color:var(--soft)}
.legend li{display:flex;align-items:center;gap:9px;margin:0 0 7px}
.legend svg,.swatch{width:12px;height:12px;flex:none;display:inline-block}
.swatch{margin-right:9px}
.map text{fill:var(--ink)}
.map .name{font-size:13px}.map .num{font-size:11px}.map .dim,.map .head,.map .tick-text{fill:var(--soft)}
.map .head{font-size:11px;letter-spacing:.04em}.map .tick-text{font-size:10.5px}
.frame{fill:none;stroke:var(--frame);stroke-width:1}
.tick{stroke:var(--frame);stroke-width:1}.hair{stroke:var(--hair);stroke-width:1}
.stratum{stroke:var(--paper);stroke-width:1}
.flow{opacity:.22}
.tree{background:var(--card)}
.cell{stroke:var(--paper);stroke-width:.8}
.band{fill:var(--hair)}
.group{font-size:12px;fill:var(--ink)}
.leaf{font-size:11.5px}.leaf.light{fill:#fff}.leaf.dark{fill:#17150f}
.strip{height:26px;border:1px solid var(--line)}
.strip.thin{height:14px;border:0;min-width:120px}
.finding{border-left:3px solid var(--line);padding:2px 0 2px 16px;margin:0 0 18px;break-inside:avoid}
.finding.error{border-color:var(--no)}.finding.warning{border-color:var(--maybe)}
.finding p{margin:0 0 3px;overflow-wrap:anywhere}
pre{background:var(--card);border:1px solid var(--line);padding:14px 16px;margin:8px 0 14px;overflow-x:auto;
font:13px/1.6 ui-monospace,"SF Mono","Cascadia Mono","DejaVu Sans Mono",Menlo,Consolas,monospace;white-space:pre-wrap;
overflow-wrap:anywhere;break-inside:avoid}
ol{padding-left:1.3em;margin:0}ol>li{margin:0 0 14px;break-inside:avoid}
footer{margin-top:56px;padding-top:16px;border-top:1px solid var(--line);font-size:13px;color:var(--soft)}
@media (max-width:640px){main{padding:30px 18px 48px}h1{font-size:33px}.lead{font-size:18px}
.sample{display:block}.legend{display:flex;flex-wrap:wrap;gap:4px 18px;margin-top:14px}
dl{display:block}dt{padding:9px 0 0;line-height:1.4}dd{border:0;padding:0 0 8px}
.map .name{font-size:17px}.map .num{font-size:13.5px}.map .head{font-size:14px}.map .tick-text{font-size:14px}
.map .wide,.leaf,.group{display:none}
table{font-size:14px}.optional{display:none}}
@page{size:A4;margin:17mm 16mm}
@media print{:root{--paper:#fff;--card:#fff;--ink:#000;--soft:#444;--line:#bbb;--hair:#ddd;--accent:#5a1f1c;
--frame:#000}
body{font-size:10.5pt}main{max-width:none;padding:0}h1{font-size:26pt}h2{margin-top:26pt}
*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
"""


def style_sheet() -> str:
    """The whole sheet: the rules above and the colours of the byte map."""
    fills = "".join(f".k-{name}{{fill:{color}}}" for name, color in CLASS_COLORS.items())
    return (
        _BASE + fills + "@media (prefers-color-scheme:dark){.k-gap{fill:#57534a}}@media print{.k-gap{fill:#d9d5cb}}\n"
    )
