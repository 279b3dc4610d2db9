"""Settings that cannot be meant: keys, types, ranges and targets, each told in one message."""

import pytest
from mistakes import CONFIG, RUN, changed, check_mistake, file, row

SEARCH = "'strategy={_target_: evomerge.Search, algorithm: evotorch.algorithms.SNES}' "

NETWORK = {
    "_target_": "populations.modules.Modules",
    "build": "faulty_parts.network",
    "order": "unit",
}

KEYS_AND_TYPES = [
    row("unknown key", RUN + "birhts=5", "birhts: unknown key", "did you mean 'births'?"),
    row(
        "unknown nested key",
        RUN + "strategy.crossover.angel=part",
        "strategy.crossover.angel: unknown",
        "'angle'",
    ),
    row(
        "unknown key of a class",
        RUN + "population.hiden=[4]",
        "population.hiden: unknown key",
        "mean 'hidden'?",
    ),
    row("key of the command", RUN + "resume=true", "resume: unknown key"),
    row(
        "missing key",
        "run c.yaml",
        "births: missing",
        "expected a whole number",
        given=file("c.yaml", CONFIG.replace("births: 6", "")),
    ),
    row(
        "missing nested key",
        RUN + "fitness.data._target_=fitness.images.Idx",
        "fitness.data.folder: missing",
        "expected a path",
        lines=2,
    ),
    row(
        "key without a space",
        RUN + "workers.threads:2=null",
        "workers: expected a Workers",
        "'threads:2'",
    ),
    row(
        "key of a class without a space",
        RUN + "'strategy={size:2}'",
        "strategy.size:2: unknown key",
        "with a space",
    ),
    row(
        "text for a number",
        RUN + "births=many",
        "births: expected a whole number, got 'many' (str)",
    ),
    row("nothing for a number", RUN + "births=null", "births: expected a whole number, got None"),
    row(
        "bool for a number",
        RUN + "lookahead=true",
        "lookahead: expected a whole number, got True (bool)",
    ),
    row(
        "float for a whole number",
        RUN + "births=10.5",
        "births: expected a whole number, got 10.5 (float)",
    ),
    row(
        "text for a float",
        RUN + "strategy.alpha=big",
        "strategy.alpha: expected a number, got 'big' (str)",
    ),
    row("number for a bool", RUN + "foresee=1", "foresee: expected true or false, got 1 (int)"),
    row(
        "number for a list",
        RUN + "population.hidden=4",
        "population.hidden: expected a list, each a whole number, got 4",
    ),
    row(
        "wrong item of a list",
        RUN + "population.hidden=[4,x]",
        "population.hidden[1]: expected a whole number, got 'x'",
    ),
    row(
        "list of another length",
        RUN + "strategy.crossover.ratio=[0,1,2]",
        "crossover.ratio: expected a list of 2",
        "got [0, 1, 2]",
    ),
    row(
        "list for a strategy",
        RUN + "strategy=[1]",
        "'strategy=[1]': a list cannot take the place of keys and values",
    ),
    row(
        "number for a strategy",
        RUN + "strategy=1",
        (
            "strategy: expected a NaturalNiches (its settings) or a Strategy (_target_ and "
            "its settings) or null, got 1"
        ),
    ),
    row(
        "place that a list has not",
        RUN + "population.hidden.3=5",
        "population.hidden.3=5",
        "the list has no such place",
    ),
    row(
        "part of a number",
        RUN + "births.most=5",
        "births: expected a whole number, got {'most': 5}",
    ),
    row(
        "text for a population",
        RUN + "population=mnist",
        "population: expected a Population",
        "_target_",
        "got 'mnist'",
    ),
    row(
        "misspelt choice",
        RUN + "strategy.capacity=maks",
        "strategy.capacity: expected 'max' or 'one', got 'maks'",
        "mean 'max'?",
    ),
    row(
        "misspelt choice among files",
        RUN + "population.seeds=specialist",
        "population.seeds: expected 'random' or 'specialists'",
        "mean 'specialists'?",
    ),
]

RANGES = [
    row(
        "comparison of another number of births",
        "compare digits.yaml other.yaml",
        "births: the rows of a comparison need the same number, digits has 6, other has 7",
        given=file("other.yaml", CONFIG.replace("births: 6", "births: 7")),
    ),
    row(
        "comparison of another fitness",
        "compare digits.yaml other.yaml",
        (
            "fitness.data.train: the rows of a comparison need the same, digits has 0.8 and "
            "other has 0.5"
        ),
        given=file("other.yaml", CONFIG.replace("SklearnDigits", "SklearnDigits\n    train: 0.5")),
    ),
    row(
        "comparison with mistakes in two rows",
        "compare digits.yaml --vary strategy.size=1,2,no",
        "digits,size=1: strategy.size: expected an archive of at least 2",
        "digits,size=no: strategy.size: expected a whole number",
        lines=2,
    ),
    row(
        "comparison of nothing that there is",
        "compare digit.yaml",
        "there is no such file; did you mean digits.yaml?",
    ),
    row(
        "comparison of an empty folder",
        "compare empty",
        "empty: there is no run in it",
        given=lambda folder: (folder / "empty").mkdir(),
    ),
    row(
        "comparison that varies nothing",
        "compare digits.yaml --vary strategy.size",
        "--vary 'strategy.size': expected key=a,b,c",
    ),
    row(
        "comparison with no jobs",
        "compare digits.yaml --jobs 0",
        "--jobs: expected a number of at least 1, got 0",
    ),
    row(
        "comparison of runs with overrides",
        "compare run births=3",
        "births=3: expected a config to override, there are only runs",
    ),
    row(
        "search with a misspelt setting",
        RUN + SEARCH + "'strategy.settings={popsize: 4, stdev_int: 1}'",
        "strategy.settings.stdev_int: unknown setting of SNES; did you mean 'stdev_init'?",
    ),
    row(
        "search of no such name",
        RUN + "'strategy={_target_: evomerge.Search, algorithm: evotorch.algorithms.SNESS}'",
        "strategy.algorithm: ",
        "did you mean 'SNES'?",
    ),
    row(
        "search over ratios of weights",
        RUN
        + SEARCH
        + (
            "'strategy.settings={popsize: 4, stdev_init: 1.0}' 'strategy.vector={_target_: "
            "evomerge.Ratios}'"
        ),
        (
            "strategy: expected members that are recipes, Classifiers breeds weights; choose "
            "evomerge.AllWeights"
        ),
    ),
    row("negative births", RUN + "births=-1", "births: expected a number of at least 0, got -1"),
    row("lookahead 0", RUN + "lookahead=0", "lookahead: expected a number of at least 1, got 0"),
    row("tile 0", RUN + "tile=0", "tile: expected a number of at least 1, got 0"),
    row("retile 0", RUN + "retile=0", "retile: expected a number of at least 1, got 0"),
    row("negative seed", RUN + "seed=-3", "seed: expected a number of at least 0, got -3"),
    row("failures 0", RUN + "failures=0", "failures: expected a number of at least 1, got 0"),
    row("no hours", RUN + "hours=0", "hours: expected a number above 0, got 0"),
    row(
        "stack above lookahead",
        RUN + "stack=4 lookahead=2",
        "stack: expected at most the lookahead, 2",
        "got 4",
    ),
    row(
        "archive of one",
        RUN + "strategy.size=1",
        "strategy.size: expected an archive of at least 2, got 1",
    ),
    row(
        "alpha NaN",
        RUN + "strategy.alpha=.nan",
        "strategy.alpha: expected a finite number of at least 0, got nan",
    ),
    row(
        "negative mutation",
        RUN + "strategy.mutation=-1",
        "strategy.mutation: expected a finite number of at least 0, got -1",
    ),
    row(
        "negative warm-up",
        RUN + "strategy.warmup=-1",
        "strategy.warmup: expected a number of births",
        "got -1",
    ),
    row(
        "negative splits",
        RUN + "strategy.crossover.splits=-1",
        "strategy.crossover.splits: expected",
        "at least 0, got -1",
    ),
    row(
        "ratio reversed",
        RUN + "strategy.crossover.ratio=[1,0]",
        "strategy.crossover.ratio: expected",
        "lower one first, got [1.0, 0.0]",
    ),
    row(
        "ratio NaN",
        RUN + "strategy.crossover.ratio=[0,.nan]",
        "strategy.crossover.ratio: expected two finite numbers",
        "nan",
    ),
    row(
        "children that are copies",
        RUN + "strategy.crossover=null strategy.mutation=0",
        "strategy.crossover: without crossover and without mutation every child is a copy",
    ),
    row(
        "one founder",
        RUN + "population.count=1",
        "population.count: expected at least 2 founders, got 1",
    ),
    row(
        "no hidden layer",
        RUN + "population.hidden=[]",
        "population.hidden: expected sizes of at least 1, got []",
    ),
    row(
        "one class", RUN + "population.classes=1", "population.classes: expected at least 2, got 1"
    ),
    row(
        "fewer classes than labels",
        RUN + "population.classes=5",
        "population: classes: expected at least 10",
        "got 5",
    ),
    row(
        "negative sd",
        RUN + "population.sd=-1",
        "population.sd: expected a finite number of at least 0, got -1",
    ),
    row(
        "unknown device",
        RUN + "population.device=gpu",
        "population.device: expected one that torch knows",
        "got 'gpu'",
    ),
    row(
        "threads 0",
        RUN + "workers._target_=evomerge.workers.Local workers.threads=0",
        "workers.threads: expected",
        "at least 1, got 0",
    ),
    row(
        "share above 1",
        RUN + "fitness.data.train=1.5",
        "fitness.data.train: expected a share in (0, 1], got 1.5",
        lines=2,
    ),
    row(
        "all for validation",
        RUN + "fitness.data.validation=1",
        "fitness.data.validation: expected a share in [0, 1), got 1",
        lines=2,
    ),
    row(
        "no training images",
        RUN + "fitness.data.train=0.0001",
        "fitness: the training split has no datapoints",
    ),
    row(
        "validate without a split",
        RUN + "validate=true",
        "validate: the fitness has no validation split",
    ),
    row(
        "tensor angles on the unit axis",
        RUN + "population.order=unit strategy.crossover.angle=tensor",
        "strategy",
        "crossover.angle: 'tensor' needs a flat axis",
    ),
    row(
        "settings of the other axis",
        RUN + "population.order=unit population.cut=tensor",
        "population.order: layout, cut and chromosomes",
        "flat axis",
    ),
    row(
        "unit axis without hidden layers",
        RUN,
        "population: layers: the unit axis",
        "two or more linear layers",
        given=changed(population=NETWORK),
    ),
    row(
        "layers that are not there",
        RUN,
        "population",
        "no tensor is called '0.weights'",
        "0.weight, 0.bias",
        given=changed(population=NETWORK | {"layers": [[["0.weights"], []]]}),
    ),
    row(
        "chromosome of nothing",
        RUN + "population.chromosomes.eyes=^conv",
        "population",
        "chromosomes.eyes: no tensor's name matches '^conv'",
        "0.weight",
    ),
    row(
        "chromosome that is no expression",
        RUN + "population.chromosomes.eyes=(0",
        "population",
        "chromosomes.eyes: '(0' is not a regular expression",
    ),
]

TARGETS = [
    row(
        "unknown class",
        RUN + "fitness._target_=fitness.classification.Clasification",
        "fitness._target_: fitness.classification has no 'Clasification'",
        "mean 'Classification'?",
    ),
    row(
        "unknown module",
        RUN + "population._target_=populations.mnst.Classifiers",
        "population._target_: populations has no 'mnst'",
        "mean 'mnist'?",
    ),
    row(
        "unknown package",
        RUN + "population._target_=population.mnist.Classifiers",
        "population._target_: there is no module 'population'",
        "mean 'populations'?",
    ),
    row(
        "unknown function",
        RUN + "fitness.score=fitness.classification.wright",
        "fitness.score: fitness.classification has no 'wright'",
        "mean 'right'?",
    ),
    row(
        "no import path",
        RUN + "fitness._target_=3",
        "fitness._target_: expected an import path, got 3 (int)",
    ),
    row(
        "not callable",
        RUN + "fitness._target_=faulty_parts.NUMBER",
        "fitness._target_: expected a class or a function, faulty_parts.NUMBER is an int",
    ),
    row(
        "of another kind",
        RUN,
        "fitness: expected a Fitness",
        "evomerge.Crossover makes a Crossover, which has no size",
        given=changed(fitness={"_target_": "evomerge.Crossover"}, population=NETWORK),
    ),
    row(
        "without size",
        RUN + "fitness._target_=faulty_parts.NoSize",
        "fitness: expected a Fitness",
        "makes a NoSize, which has no size",
    ),
    row(
        "makes nothing",
        RUN,
        "fitness: expected a Fitness",
        "faulty_parts.nothing makes nothing, which has no size",
        given=changed(fitness={"_target_": "faulty_parts.nothing"}, population=NETWORK),
    ),
    row(
        "written in C",
        RUN + "workers._target_=builtins.dict workers.a=1",
        "workers: expected a Workers",
        "builtins.dict makes a dict",
    ),
    row(
        "cannot be made",
        RUN + "fitness._target_=faulty_parts.Impatient",
        "fitness: RuntimeError: no licence was found",
    ),
    row(
        "own module with a syntax error",
        RUN + "fitness._target_=mine_syntax.Mine",
        "fitness._target_: 'mine_syntax.Mine' cannot be imported: SyntaxError",
        given=file("mine_syntax.py", "def ("),
    ),
    row(
        "own module lacks a package",
        RUN + "fitness._target_=mine_lacks.Mine",
        "fitness._target_: 'mine_lacks.Mine' cannot be imported: No module named 'nothing_such'",
        given=file("mine_lacks.py", "import nothing_such"),
    ),
    row(
        "own module that ends",
        RUN + "fitness._target_=mine_ends.Mine",
        "fitness._target_: 'mine_ends.Mine' cannot be imported: SystemExit: 0",
        given=file("mine_ends.py", "raise SystemExit(0)"),
    ),
]


@pytest.mark.parametrize(("command", "said", "given", "lines"), KEYS_AND_TYPES + RANGES + TARGETS)
def test_a_mistake_is_told_and_nothing_is_written(place, capsys, command, said, given, lines):
    check_mistake(place, capsys, command, said, given, lines)
