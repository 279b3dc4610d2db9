"""How a report looks: its stylesheet, in light and in dark."""

from __future__ import annotations

from evomerge.report.svg import COLOURS


def _variables(shade: int) -> str:
    """The page's colours as variables of CSS: the light ones are shade 0, the dark ones shade 1."""
    return ";".join(f"--{name}:{shades[shade]}" for name, shades in COLOURS.items())


# A backslash at the end of a line is no part of the stylesheet: its rule goes on in the next one.
STYLE = (
    f"""
:root{{color-scheme:light dark;--page:#f5f6f8;{_variables(0)}}}
@media(prefers-color-scheme:dark){{:root{{--page:#12151a;{_variables(1)}}}}}
"""
    + """
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);\
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;
-webkit-text-size-adjust:100%}
main{max-width:984px;margin:0 auto;padding:28px 12px 48px}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:18px;margin:34px 0 12px}
h3{font-size:15px;margin:0 0 8px}
.orange{color:var(--orange)}.green{color:var(--green)}
.sub{color:var(--muted);margin:4px 0 20px;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:repeat(auto-fit,minmax(104px,1fr));margin:0;\
background:var(--card);
border:1px solid var(--line);border-radius:14px;overflow:hidden}
dl div{box-shadow:0 0 0 .5px var(--line);padding:12px 14px;display:flex;flex-direction:column}
dd{margin:0;font-size:21px;font-weight:600;font-variant-numeric:tabular-nums}
dt{color:var(--muted);font-size:12.5px;line-height:1.3}
.cards{display:grid;grid-template-columns:minmax(0,1fr);gap:14px}
.card{margin:0;min-width:0;background:var(--card);border:1px solid var(--line);border-radius:14px;\
padding:16px}
.card svg{display:block;height:auto;margin:0 auto;stroke-linejoin:round;stroke-linecap:butt}
.card svg text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif!important}
figcaption{color:var(--muted);font-size:13.5px;margin-top:10px}
details{margin-top:8px}details.card{margin:0}
summary{cursor:pointer;font-size:13.5px;color:var(--muted)}
pre{white-space:pre-wrap;overflow-wrap:anywhere;\
font:12.5px/1.5 ui-monospace,Menlo,Consolas,monospace;margin:12px 0 0}
.card>svg{width:100%;max-width:520px}
.scroll{overflow-x:auto;direction:rtl}.scroll svg{direction:ltr}
table{border-collapse:collapse;width:100%;font-size:13.5px;margin-top:4px}
th{color:var(--muted);font-weight:500;text-align:left}
th,td{padding:6px 10px 6px 0;border-bottom:1px solid var(--line);vertical-align:top;\
overflow-wrap:anywhere}
.table{overflow-x:auto}.table td,.table th{white-space:nowrap}
.gallery{list-style:none;margin:0;padding:0;display:grid;\
grid-template-columns:repeat(auto-fill,minmax(72px,1fr));gap:14px 12px}
.gallery li{font-size:12px;line-height:1.35;color:var(--muted);overflow-wrap:anywhere;min-width:0}
.gallery b{color:var(--ink)}
.gallery img{display:block;width:100%;image-rendering:pixelated;border-radius:8px;\
margin-bottom:5px;background:#000}
.strips p{margin:10px 0 4px;font-size:13px;color:var(--muted)}.strips p b{color:var(--ink)}
.strips div{display:grid;grid-template-columns:repeat(var(--columns),minmax(0,1fr));gap:4px}
.strips img{display:block;width:100%;image-rendering:pixelated;border-radius:5px;background:#000}
.strips .won{outline:2px solid var(--orange);outline-offset:1px}
.ahead th,.ahead td+td{overflow-wrap:normal;white-space:nowrap}
.answers td{white-space:pre-wrap}.answers th{white-space:nowrap}\
.answers td[data-name=datapoint],.answers td[data-name=part]{width:1%;overflow-wrap:normal}
.gallery div{display:flex;gap:4px}.gallery div img{min-width:0;flex:1}\
.pairs{grid-template-columns:repeat(auto-fill,minmax(128px,1fr))}
.facts th{width:1%;padding-right:20px;white-space:nowrap}
.scores td+td,.heat td{font-variant-numeric:tabular-nums}.scores small{color:var(--muted);\
white-space:nowrap}
.scores tr:last-child td,.facts tr:last-child>*{border-bottom:0}
.heat{border-spacing:0}.heat td[style]{text-align:right;padding:4px 10px}\
.heat td:first-child{white-space:normal;min-width:80px}.heat .number{text-align:right;\
padding-left:10px}
.chromosomes{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,320px),1fr));\
gap:16px 28px}
.chromosomes>div{min-width:0}.chromosomes p{margin:0;font-weight:600;font-size:13.5px}
.count{font-size:21px;font-weight:600;margin:0}
@media(min-width:760px){main{padding:44px 24px 64px}\
.cards{grid-template-columns:repeat(2,minmax(0,1fr));gap:18px}
.wide{grid-column:1/-1}.card{padding:20px}h1{font-size:32px}}
@media(min-width:601px){.answers td[data-name=best],.answers td[data-name=founder]{min-width:170px}}
@media(max-width:600px){.heat td[style]{padding:4px 6px}.heat .number{padding:6px 6px 6px 4px}
.answers thead{display:none}.answers tr{display:block;padding:8px 0;\
border-bottom:1px solid var(--line)}
.answers tr td[data-name]{display:block;border:0;padding:1px 0;width:auto}\
.answers td::before{content:attr(data-name) " ";color:var(--muted)}}
"""
)
