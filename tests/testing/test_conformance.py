"""Every component of every room passes its room's suite; a new one is found through the room's union."""

import types
from typing import Annotated, Any, Union, get_args, get_origin

import pytest

from motet import balance, fusion, inputs, sharing, tasks
from motet.core.component import ComponentSpec
from motet.testing import check_balancer, check_fusion, check_input, check_sharing, check_task, check_throttle
from motet.testing.examples import input_cells, task_labels


def members(union: Any) -> list[type[ComponentSpec]]:
    """The Specs of `Annotated[A | B, ...]`, of `A | B`, or of a lone A."""
    if get_origin(union) is Annotated:
        union = get_args(union)[0]
    return list(get_args(union)) if get_origin(union) in (Union, types.UnionType) else [union]


def with_variants(union: Any, *variants: ComponentSpec) -> list[Any]:
    specs = [cls() for cls in members(union)] + list(variants)
    return [pytest.param(spec, id=f"{index} {spec.kind}") for index, spec in enumerate(specs)]


FUSIONS = with_variants(
    fusion.AnyFusion,
    fusion.Concat(width=7, layers=3, dropout=0.3),
    fusion.Concat(level="map"),
    fusion.Concat(level="map", width=7, layers=3, places=5, dropout=0.3),
    fusion.Weighted(per_row=True, dropout=0.3),
    fusion.Gated(gates="softmax"),
    fusion.FiLM(conditioned="photo"),
    fusion.DeepSet(pool="mean", layers=1),
    fusion.DeepSet(pool="max"),
    fusion.Bilinear(form="mlb", dropout=0.3),
    fusion.Bilinear(form="mfb"),
    fusion.Bilinear(form="mfh"),
    fusion.Bilinear(form="mutan"),
    fusion.Bilinear(form="block", width=7, rank=2),
    fusion.Tensor(width=7, narrow=3, order=2, dropout=0.3),
    fusion.Tensor(narrow=2, order=8),
    fusion.LowRank(width=7, rank=1, dropout=0.3),
    fusion.CrossAttention(width=12, layers=2),
    fusion.CrossAttention(width=6, heads=2, pairs=(("age", "photo"), ("photo", "review"))),
    fusion.CoAttention(width=12, layers=2),
    fusion.Bottleneck(width=12, layers=3, from_layer=1, bottlenecks=1),
    fusion.Transformer(width=9, layers=1, heads=3),
    fusion.Perceiver(width=6, latents=2, layers=1, heads=1),
    fusion.Latent(align="sigmoid", decode=True),
    fusion.Latent(align="none", decode=True, width=7, layers=1, dropout=0.3),
    *(fusion.Latent(align=align) for align in ("cca", "vicreg", "barlow")),
    fusion.Factors(width=7, rank=20, dropout=0.3),
    fusion.RBM(width=7, hidden=3, joint=5, dropout=0.3),
    fusion.Late(weights="learned", auxiliary=0.5),
    fusion.Late(weights={"photo": 2.0, "age": 1.0, "review": 0.5}),
    fusion.Late(rule="evidential", separate=True),
    fusion.Hybrid(fusion=fusion.Weighted(width=9), weights="learned"),
    fusion.Hybrid(fusion=fusion.Weighted(width=9), rule="uncertainty"),
    fusion.Hybrid(fusion=fusion.Latent(width=9)),
)
SHARINGS = with_variants(
    sharing.AnySharing,
    sharing.Hard(width=5, layers=3, dropout=0.3),
    sharing.Soft(distance="trace"),
    sharing.Soft(width=5, layers=3, strength=2.0),
    sharing.CrossStitch(per="layer"),
    sharing.CrossStitch(width=5, layers=3, own=1.0),
    sharing.MMoE(experts=3, width=5, layers=2, dropout=0.3),
    sharing.PLE(levels=1),
    sharing.PLE(levels=3, shared=1, private=2, width=5, layers=2),
    sharing.DSelect(per_row=False),
    sharing.DSelect(experts=5, selected=1, gamma=0.5),
    sharing.Relation(layers=0, branch=1, every=1),
    sharing.Clustered(layers=2, branch=5, clusters=3, every=1),
    sharing.Factorised(form="tt", layers=0, task_rank=2),
    sharing.Factorised(branch=5, feature_rank=2, branch_rank=3, task_rank=1),
    sharing.Selection(layers=0, branch=1),
    sharing.Adapter(layers=0, rank=1),
    sharing.Adapter(place="inside", width=5, layers=3, dropout=0.3),
)
BALANCERS = with_variants(
    balance.AnyTaskBalancer,
    balance.Fixed(weights={"sold": 3.0}),
    balance.Fixed(weights={"sold": 3.0}, log=True),
    balance.Fixed(weights="search"),
    balance.MGDA(scale="count"),
    balance.MGDA(scale="norm"),
    balance.MGDA(normalize="l2"),
    balance.DWA(temperature=0.1),
    balance.FAMO(learning_rate=0.5, weight_decay=0.0),
    balance.Chebyshev(warmup=0, mu=0.1, preference={"sold": 3.0}),
    balance.Priority(gamma=3.0, momentum=0.5),
    balance.Relation(matrix={"price": {"sold": 0.5}}, temperature=0.1),
    balance.TorchJD(aggregator="ConFIG", scale="count"),
    balance.GradVac(beta=0.5),
    balance.GradDrop(leak={"sold": 1.0}),
    balance.DBMTL(decay=0.5),
    balance.UPGrad(scale="norm"),
    balance.CAGrad(c=0.9, scale="count"),
    balance.IMTL(loss=True),
    balance.Nash(heads="raw"),
    balance.FairGrad(alpha=0.5, scale="norm"),
)


THROTTLES = with_variants(
    balance.AnyModalityBalancer,
    balance.OGM(alpha=2.0, noise=False, from_epoch=3),
    balance.PMR(momentum=0.9, entropy_epochs=50),
    balance.Blend(weights="equal"),
    balance.Blend(weights={"photo": 0.3}),
    balance.Blend(every=1),
    balance.Resample(warmup=1, scarce=0.5),
)


INPUTS = with_variants(
    inputs.AnyInput,
    inputs.Audio.model_validate({"encoder": "mfcc"}),
    inputs.Image.model_validate({"encoder": "vit", "width": 32}),
    inputs.Image.model_validate({"encoder": {"kind": "hog", "cell": 4}, "width": 32}),
    inputs.Text.model_validate({"encoder": "tfidf"}),
    inputs.Video.model_validate({"encoder": "cnn3d"}),
)


@pytest.mark.parametrize("spec", INPUTS)
def test_inputs(spec: inputs.InputSpec) -> None:
    check_input(spec, input_cells(spec.kind))


@pytest.mark.parametrize("spec", FUSIONS)
def test_fusions(spec: fusion.FusionSpec) -> None:
    check_fusion(spec)


@pytest.mark.parametrize("spec", SHARINGS)
def test_sharings(spec: sharing.SharingSpec) -> None:
    check_sharing(spec)


TASKS = with_variants(
    tasks.AnyTask,
    tasks.Regression(error="huber"),
    tasks.Regression(error="absolute"),
    tasks.Regression(error="quantile"),
    tasks.Regression(error="quantile", quantiles=(0.5,)),
    tasks.Regression(error="gaussian"),
    tasks.Regression(error="gaussian", beta=0.0),
    tasks.Ordinal(levels=(0, 1, 2, 3, 4, 5)),
    tasks.Count(dispersion=0.3),
    tasks.Count(dispersion="auto"),
    tasks.Segmentation(class_weights="root"),
    tasks.Segmentation(classes=("wall", "floor", "cup", "door"), ignore=(2,), class_weights={"floor": 2.0}),
    tasks.Matching(objective="sigmoid"),
    tasks.Matching(layers=1, pool="attention", dropout=0.0),
)


RECONSTRUCTIONS = [
    tasks.Reconstruction(of="audio"),
    tasks.Reconstruction(of="category"),
    tasks.Reconstruction(of="image"),
    tasks.Reconstruction(of="image", size=4, layers=2, width=32),
    tasks.Reconstruction(of="number", layers=0, dropout=0.0),
    tasks.Reconstruction(of="text"),
    tasks.Reconstruction(of="text", read="tokens"),
    tasks.Reconstruction(of="vector"),
]


@pytest.mark.parametrize("spec", TASKS)
def test_tasks(spec: tasks.TaskSpec) -> None:
    check_task(spec, task_labels(spec.kind))


@pytest.mark.parametrize("spec", [pytest.param(one, id=f"{n} {one.of}") for n, one in enumerate(RECONSTRUCTIONS)])
def test_reconstructions(spec: tasks.Reconstruction) -> None:
    """Of each kind of input; the cells are the labels."""
    inputs = {kind: (kind, input_cells(kind)) for kind in ("audio", "category", "image", "number", "text", "vector")}
    check_task(spec, input_cells(str(spec.of)), inputs)


@pytest.mark.parametrize("spec", BALANCERS)
def test_balancers(spec: balance.BalancerSpec) -> None:
    check_balancer(spec)


@pytest.mark.parametrize("spec", THROTTLES)
def test_throttles(spec: balance.ThrottleSpec) -> None:
    check_throttle(spec)


def test_a_kind_without_examples_says_where_to_add_them() -> None:
    with pytest.raises(LookupError, match=r"no example cells for 'smell'.*examples\.py"):
        input_cells("smell")
    with pytest.raises(LookupError, match="no example cells for 'guess'"):
        task_labels("guess")
