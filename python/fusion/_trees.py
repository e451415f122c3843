"""scikit-learn's trees as ONNX: TreeEnsembleClassifier and TreeEnsembleRegressor of ai.onnx.ml, as skl2onnx writes them.

Needs NumPy and onnx alone, so that scripts can use it without the package."""
import numpy as np

ENSEMBLES = ("DecisionTree", "RandomForest", "ExtraTrees", "GradientBoosting")


def is_tree(estimator) -> bool:
    name = type(estimator).__name__
    return any(name in (f"{kind}Classifier", f"{kind}Regressor") for kind in ENSEMBLES)


def _columns(trees, numpy_helper):
    """What the trees are: scikit-learn goes left where x <= threshold."""
    columns = {name: [] for name in ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids")}
    modes, limits = [], []
    for number, tree in enumerate(trees):
        leaf = tree.children_left < 0
        columns["treeids"] += [number] * tree.node_count
        columns["nodeids"] += range(tree.node_count)
        columns["featureids"] += np.where(leaf, 0, tree.feature).tolist()
        columns["truenodeids"] += np.where(leaf, 0, tree.children_left).tolist()
        columns["falsenodeids"] += np.where(leaf, 0, tree.children_right).tolist()
        modes += ["LEAF" if end else "BRANCH_LEQ" for end in leaf]
        limits += np.where(leaf, 0, tree.threshold).tolist()
    attributes = {f"nodes_{name}": column for name, column in columns.items()}
    return attributes | {"nodes_modes": modes, "nodes_values_as_tensor": numpy_helper.from_array(np.array(limits), "limits")}


def _leaves(trees, worth, outputs, prefix):
    """What leaves are worth: worth[tree] is [nodes][k], outputs[tree] names the k outputs."""
    columns = {name: [] for name in ("treeids", "nodeids", "ids")}
    weights = []
    for number, tree in enumerate(trees):
        for node in np.flatnonzero(tree.children_left < 0):
            for output, weight in zip(outputs[number], worth[number][node]):
                columns["treeids"].append(number)
                columns["nodeids"].append(int(node))
                columns["ids"].append(int(output))
                weights.append(float(weight))
    return {f"{prefix}_{name}": column for name, column in columns.items()} | {f"{prefix}_weights": weights}


def _boosted(estimator, classifies):
    """Trees, the outputs that each adds to, base values, and what follows the sum."""
    if estimator.init is not None:
        raise ValueError("its init is not scikit-learn's own")
    if classifies and estimator.loss not in ("log_loss", "deviance"):
        raise ValueError(f"its loss is '{estimator.loss}'; use log_loss")
    trees = [member.tree_ for row in estimator.estimators_ for member in row]
    width = estimator.estimators_.shape[1]
    outputs = [[number % width] for number in range(len(trees))]
    if not classifies:
        return trees, outputs, [float(np.ravel(estimator.init_.constant_)[0])], "NONE"
    prior = np.clip(estimator.init_.class_prior_, np.finfo(np.float32).eps, 1 - np.finfo(np.float32).eps)
    if width == 1:
        return trees, outputs, [float(np.log(prior[1] / (1 - prior[1])))], "LOGISTIC"
    return trees, outputs, np.log(prior).tolist(), "SOFTMAX"


def _attributes(estimator, classifies, numpy_helper):
    if "GradientBoosting" in type(estimator).__name__:
        trees, outputs, base, after = _boosted(estimator, classifies)
        worth = [tree.value[:, 0] * estimator.learning_rate for tree in trees]
        more = {"base_values": base, "post_transform": after}
    else:
        members = getattr(estimator, "estimators_", [estimator])
        trees, more = [member.tree_ for member in members], {}
        if classifies and estimator.n_outputs_ != 1:
            raise ValueError("it has several outputs")
        values = [tree.value[:, 0] if classifies else tree.value[:, :, 0] for tree in trees]
        worth = [(v / v.sum(1, keepdims=True) if classifies else v) / len(trees) for v in values]
        outputs = [range(v.shape[1]) for v in values]
    prefix = "class" if classifies else "target"
    return _columns(trees, numpy_helper) | _leaves(trees, worth, outputs, prefix) | more


def tree_model(estimator):
    """The ONNX model of a fitted estimator for which is_tree() holds. ValueError says what of it cannot be written."""
    from onnx import TensorProto, helper, numpy_helper
    classifies = type(estimator).__name__.endswith("Classifier")
    attributes = _attributes(estimator, classifies, numpy_helper)
    if classifies:
        classes = np.asarray(estimator.classes_)
        numbers = classes.dtype.kind in "iu"
        attributes["classlabels_int64s" if numbers else "classlabels_strings"] = [int(c) if numbers else str(c) for c in classes]
        kind = TensorProto.INT64 if numbers else TensorProto.STRING
        outputs = [helper.make_tensor_value_info("label", kind, ["N"]),
                   helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", len(classes)])]
    else:
        targets = max(attributes["target_ids"]) + 1
        attributes["n_targets"] = targets
        outputs = [helper.make_tensor_value_info("variable", TensorProto.FLOAT, ["N", targets])]
    node = helper.make_node("TreeEnsembleClassifier" if classifies else "TreeEnsembleRegressor", ["x"],
                            [output.name for output in outputs], "trees", domain="ai.onnx.ml", **attributes)
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", estimator.n_features_in_])
    graph = helper.make_graph([node], "trees", [given], outputs)
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
